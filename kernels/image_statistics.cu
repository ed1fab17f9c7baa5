// sum = sum_p v[p], square = sum_p v[p]^2 over the pixels of each image's crop, by channel. Reads each raw byte of the
// crop once; at 4.3 TB/s, 4,300 billion bytes a second. About ten instructions a byte keep it to some 60% of that where
// shrink is 1, and closer to it where boxes are added first.
#include <type_traits>

#include "kernels/fusion.cuh"
#include "kernels/image_statistics.h"

namespace cytograd {
namespace {

// Of the image alone, so that results do not depend on the batch or the device. Enough to keep a GPU busy from eight
// images on; few enough for one warp to add.
constexpr uint32_t kMaxParts = 16;
static_assert(kMaxParts <= kWarp);
constexpr int64_t kTileBytes = 26 << 10;  // so that with the largest scratch a block has 48 KiB
static_assert(kTileBlock / kWarp >= kMaxImageChannels, "a warp a channel");

template <typename F>
struct Sums {
  // Whole numbers stay whole: a box of 16 x 16 squared takes 32 bits, and 2^32 of those fit.
  using Sum = std::conditional_t<std::is_integral_v<typename F::Value>, uint64_t, double>;
  Sum sum[F::kValues] = {};
  Sum square[F::kValues] = {};

  __device__ __forceinline__ void operator()(int32_t, int32_t, const typename F::Value (&v)[F::kValues]) {
#pragma unroll
    for (int i = 0; i < F::kValues; ++i) {
      const auto wide = static_cast<Sum>(v[i]);
      sum[i] += wide;
      square[i] += wide * wide;
    }
  }
};

template <typename F>
struct StatisticsShared {
  typename F::Table table;
  double sum[F::kValues][kTileBlock];
  double square[F::kValues][kTileBlock];
};

template <typename F>
__global__ void __launch_bounds__(kTileBlock)
    image_statistics_kernel(FusedImages images, Tiling tiling, uint32_t parts, ChannelMoments* moments) {
  auto& shared = block_shared<StatisticsShared<F>>();
  uint8_t* raw = dynamic_shared<uint8_t>();
  const int64_t image = blockIdx.x / parts;
  const int32_t groups = images.fused / F::kValues;
  const PixelPart part(groups);
  F::fill(images, shared.table);
  Sums<F> sums;
  for (uint32_t i = blockIdx.x % parts; i < tiling.an_image; i += parts) {
    const Patch patch = tile_of(images, tiling, i);
    const uint8_t* first = first_raw(images, image, patch);
    if (tiling.staged != 0) stage(images, tiling, first, patch, raw);
    __syncthreads();
    const F fusion(images, shared.table, part.group);
    visit_patch(fusion, images, tiling, first, raw, patch, part, sums);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < F::kValues; ++i) {
    shared.sum[i][threadIdx.x] = static_cast<double>(sums.sum[i]);
    shared.square[i][threadIdx.x] = static_cast<double>(sums.square[i]);
  }
  __syncthreads();
  // A warp a channel: the threads of its group, in a fixed order.
  const int32_t channel = static_cast<int32_t>(threadIdx.x) / kWarp;
  if (channel >= images.fused) return;
  const int32_t group = channel / F::kValues, value = channel % F::kValues;
  double sum = 0.0, square = 0.0;
  for (int32_t i = static_cast<int32_t>(threadIdx.x) % kWarp; i < part.step; i += kWarp) {
    sum += shared.sum[value][i * groups + group];
    square += shared.square[value][i * groups + group];
  }
  sum = warp_sum(sum);
  square = warp_sum(square);
  if (threadIdx.x % kWarp == 0) moments[int64_t{blockIdx.x} * images.fused + channel] = {sum, square};
}

Tiling statistics_tiling(const FusedImages& images) {
  return tiling_of(images, kTileBytes, [](int64_t) { return 0; });
}

}  // namespace

int32_t statistics_parts(const FusedImages& images) {
  const uint32_t tiles = statistics_tiling(images).an_image;
  return static_cast<int32_t>(tiles < kMaxParts ? tiles : kMaxParts);
}

void launch_image_statistics(const FusedImages& images, int32_t parts, ChannelMoments* moments,
                             device::Stream stream) {
  if (images.count == 0) return;
  const Tiling tiling = statistics_tiling(images);
  dispatch_fusion(images.fusion, [&]<typename F>(FusionTag<F>) {
    launch("image_statistics", image_statistics_kernel<F>,
           {.grid = {static_cast<unsigned>(images.count * parts)},
            .block = {kTileBlock},
            .shared_bytes = static_cast<size_t>(tiling.raw_bytes),
            .stream = stream},
           images, tiling, static_cast<uint32_t>(parts), moments);
  });
}

}  // namespace cytograd
