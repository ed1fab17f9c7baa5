// sum = sum_p v[p], square = sum_p v[p]^2 over the pixels of each image's crop, by channel. Reads each raw byte of the
// crop once; at 4.3 TB/s, 4,300 billion bytes a second. The loop over pixels has, as nvcc 13 compiles it, 2.2
// instructions a byte for six channels (four pixels of a channel are summed, and squared, by a dot product of bytes) and
// 4.5 for other numbers of them; 2.0 and 3.1 where shrink is 2; with six channels, a colour map has 9 and a linear
// fusion into three 11. Beside it, a thread takes some 200 for a tile, where it has 96 bytes, and 200 for its block's
// start and end: counted, not yet timed; before, with 9.8 a byte in all, 62% of a copy.
#include <type_traits>

#include "kernels/fusion.cuh"
#include "kernels/image_statistics.h"

namespace cytograd {
namespace {

// Of the image alone, so that results do not depend on the batch or the device. Enough to keep a GPU busy from 17
// images on; few enough for one warp to add, and for a crop of 256 x 256 to be two tiles a block.
constexpr uint32_t kMaxParts = 8;
static_assert(kMaxParts <= kWarp);
constexpr int64_t kTileBytes = 26 << 10;
static_assert(kTileBlock / kWarp >= kMaxImageChannels, "a warp a channel");

// By their registers.
template <typename F>
constexpr int kBlocksAtOnce = std::is_same_v<F, PlainPixels>      ? 5
                              : std::is_same_v<F, ColouredPixels> ? 4
                                                                  : 3;

template <typename F>
struct Sums {
  static constexpr bool kWhole = std::is_integral_v<typename F::Value>;
  // Whole numbers stay whole: a box of 16 x 16 squared takes 32 bits, and 2^32 of those fit.
  using Sum = std::conditional_t<kWhole, uint64_t, double>;
  // A patch's own sums fit 32 bits where boxes are small.
  template <int kShrink>
  static constexpr bool kNarrow = kWhole&& kShrink > 0;

  int32_t channels;  // of the group
  Sum sum[F::kValues] = {};
  Sum square[F::kValues] = {};
  uint32_t patch_sum[F::kValues];
  uint32_t patch_square[F::kValues];

  __device__ explicit Sums(int32_t channels_of_group) : channels(channels_of_group) {}

  __device__ __forceinline__ void begin(const PixelPart&, int32_t) {
#pragma unroll
    for (int i = 0; i < F::kValues; ++i) patch_sum[i] = patch_square[i] = 0;
  }
  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void take(int32_t, const F& fusion, const uint8_t* first, Index apart,
                                       Index pitch) {
    if constexpr (std::is_same_v<F, SixChannels> && kShrink == 1 && kPixels == kRun) {
      uint32_t plane[F::kValues];
      fusion.read_planes(first, apart, plane);
#pragma unroll
      for (int i = 0; i < F::kValues; ++i) {
        patch_sum[i] = __dp4a(plane[i], 0x01010101u, patch_sum[i]);
        patch_square[i] = __dp4a(plane[i], plane[i], patch_square[i]);
      }
    } else {
      typename F::Value v[kPixels][F::kValues];
      fusion.template read<kShrink>(first, apart, pitch, v);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) add<kShrink>(v[p]);
    }
  }
  __device__ __forceinline__ void next_row() {}
  template <int kShrink>
  __device__ __forceinline__ void end() {
    if constexpr (kNarrow<kShrink>) {
#pragma unroll
      for (int i = 0; i < F::kValues; ++i) {
        sum[i] += patch_sum[i];
        square[i] += patch_square[i];
      }
    }
  }

 private:
  template <int kShrink>
  __device__ __forceinline__ void add(const typename F::Value (&v)[F::kValues]) {
#pragma unroll
    for (int i = 0; i < F::kValues; ++i) {
      if constexpr (kNarrow<kShrink>) {
        static_assert(kMaxPixelsAThread * (255ull * kShrink * kShrink) * (255 * kShrink * kShrink) <=
                      UINT32_MAX);
        patch_sum[i] += v[i];
        patch_square[i] += v[i] * v[i];
      } else if (kWhole || i < channels) {  // mutation: nobody reads a channel more
        const auto wide = static_cast<Sum>(v[i]);
        sum[i] += wide;
        square[i] += wide * wide;
      }
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
__global__ void __launch_bounds__(kTileBlock, kBlocksAtOnce<F>)
    image_statistics_kernel(FusedImages images, Tiling tiling, uint32_t parts, ChannelMoments* moments) {
  auto& shared = block_shared<StatisticsShared<F>>();
  uint8_t* raw = dynamic_shared<uint8_t>();
  const uint32_t image = blockIdx.x / parts;
  const int32_t groups = F::groups(images);
  const PixelPart part(groups, tiling.log_side);
  F::fill(images, shared.table);
  Sums<F> sums(images.fused - part.group * F::kValues);
  for (uint32_t i = blockIdx.x % parts; i < tiling.an_image; i += parts) {
    const Patch patch = tile_of(tiling, i);
    const uint8_t* first = first_raw(images, tiling, image, patch);
    if (tiling.staged != 0) stage(images, tiling, first, patch, raw);
    wait_copies();
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
  for (int32_t i = static_cast<int32_t>(threadIdx.x) % kWarp; i < kTileBlock / groups; i += kWarp) {
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
  dispatch_fusion(images, true, [&]<typename F>(FusionTag<F>) {
    launch("image_statistics", image_statistics_kernel<F>,
           {.grid = {static_cast<unsigned>(images.count * parts)},
            .block = {kTileBlock},
            .shared_bytes = static_cast<size_t>(tiling.raw_bytes),
            .stream = stream},
           images, tiling, static_cast<uint32_t>(parts), moments);
  });
}

}  // namespace cytograd
