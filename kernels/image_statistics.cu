// sum = sum_p v[p], square = sum_p v[p]^2 over the pixels of each image's crop, by channel. Reads each raw byte of the
// crop once; at 4.3 TB/s, 4,300 billion bytes a second. The loop over pixels has, as nvcc 13 compiles it, 2.2
// instructions a byte for six channels (four pixels of a channel are summed, and squared, by a dot product of bytes)
// and 4.5 for other numbers of them; 2.0 and 3.1 where shrink is 2; with six channels and a linear fusion into three
// 2.8 and 2.6, by the products of any two channels, 11 by the fused values; with a colour map 9, or 7.5 by ramps.
// Beside it, a thread takes some 200 for a tile, where it has 96 bytes, and 200 for its block's start and end, 400 with
// those products: counted, not yet timed; before, with 9.8 a byte in all, 62% of a copy.
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

/// Each fused channel's values, and their squares.
template <typename F>
struct ValueSums {
  using Pixels = F;
  static constexpr int kMoreChannels = 0;  // that have moments, after the fused
  static constexpr bool kWhole = std::is_integral_v<typename F::Value>;
  // By their registers.
  static constexpr int kBlocksAtOnce = std::is_same_v<F, PlainPixels>      ? 5
                                       : std::is_same_v<F, ColouredPixels> ? 4
                                                                           : 3;
  // Whole numbers stay whole: a box of 16 x 16 squared takes 32 bits, and 2^32 of those fit.
  using Sum = std::conditional_t<kWhole, uint64_t, double>;
  // A patch's own sums fit 32 bits where boxes are small.
  template <int kShrink>
  static constexpr bool kNarrow = kWhole&& kShrink > 0;

  struct Shared {
    double sum[F::kValues][kTileBlock];
    double square[F::kValues][kTileBlock];
  };

  int32_t channels;  // of the group
  Sum sum[F::kValues] = {};
  Sum square[F::kValues] = {};
  uint32_t patch_sum[F::kValues];
  uint32_t patch_square[F::kValues];

  __device__ ValueSums(const FusedImages& images, const Tiling&, const PixelPart& part, Shared&)
      : channels(images.fused - part.group * F::kValues) {}

  __device__ __forceinline__ void begin(const PixelPart&, int32_t) {
#pragma unroll
    for (int i = 0; i < F::kValues; ++i) patch_sum[i] = patch_square[i] = 0;
  }
  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void take(int32_t, const F& fusion, const uint8_t* first, Index apart,
                                       Index pitch) {
    if constexpr (std::is_base_of_v<SixChannels, F> && kShrink == 1 && kPixels == kRun) {
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

  __device__ __forceinline__ void end_tile(Shared&) {}

  /// A warp a channel: the threads of its group, in a fixed order.
  __device__ void finish(const FusedImages& images, const Tiling&, uint32_t, Shared& shared,
                         ChannelMoments* moments) const {
    const int32_t groups = F::groups(images);
#pragma unroll
    for (int i = 0; i < F::kValues; ++i) {
      shared.sum[i][threadIdx.x] = static_cast<double>(sum[i]);
      shared.square[i][threadIdx.x] = static_cast<double>(square[i]);
    }
    __syncthreads();
    const int32_t channel = static_cast<int32_t>(threadIdx.x) / kWarp;
    if (channel >= images.fused) return;
    const int32_t group = channel / F::kValues, value = channel % F::kValues;
    double all = 0.0, all_squared = 0.0;
    for (int32_t i = static_cast<int32_t>(threadIdx.x) % kWarp; i < kTileBlock / groups; i += kWarp) {
      all += shared.sum[value][i * groups + group];
      all_squared += shared.square[value][i * groups + group];
    }
    all = warp_sum(all);
    all_squared = warp_sum(all_squared);
    if (threadIdx.x % kWarp == 0) moments[channel] = {all, all_squared};
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

/// Sums of the products of any two of six channels and of 1, from which follow the moments of the channels and of any
/// linear fusion of them, whose bias is the weight of 1.
struct CovarianceSums {
  using Pixels = SixChannels;
  static constexpr int kBlocksAtOnce = 4;
  static constexpr int kChannels = SixChannels::channels, kFactors = kChannels + 1;
  static constexpr int kSums = kFactors * (kFactors + 1) / 2 - 1;  // those of 1 * 1 are no thread's
  static constexpr int kMoreChannels = kChannels;
  static_assert(kSums < kWarp);

  /// Where the sum of factors a and b is, a <= b: (0, 0), (0, 1), ... (0, 6), (1, 1), ...
  static constexpr int index_of(int a, int b) { return a * kFactors - a * (a - 1) / 2 + b - a; }

  struct Shared {
    uint32_t of_thread[kSums][kTileBlock];
    double total[kSums + 1];
  };

  uint32_t sum[kSums] = {};
  int32_t tiles = 0, most_tiles;  // whose sums fit 32 bits

  __device__ CovarianceSums(const FusedImages& images, const Tiling& tiling, const PixelPart&,
                            Shared& shared) {
    const uint32_t most = 255u * images.shrink * images.shrink;
    most_tiles = static_cast<int32_t>(UINT32_MAX / (most * most * pixels_a_thread(1, tiling.log_side)));
    if (threadIdx.x <= kSums) shared.total[threadIdx.x] = 0.0;
  }

  __device__ __forceinline__ void begin(const PixelPart&, int32_t) {}
  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void take(int32_t, const SixChannels& six, const uint8_t* first, Index apart,
                                       Index pitch) {
    if constexpr (kShrink == 1 && kPixels == kRun) {
      uint32_t plane[kChannels];
      six.read_planes(first, apart, plane);
      add<kRun>(plane);
    } else {
      uint32_t v[kPixels][kChannels];
      six.template read<kShrink>(first, apart, pitch, v);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) add<1>(v[p]);
    }
  }
  __device__ __forceinline__ void next_row() {}
  template <int kShrink>
  __device__ __forceinline__ void end() {}

  /// After a barrier that follows a tile, and before another.
  __device__ __forceinline__ void end_tile(Shared& shared) {
    if (++tiles < most_tiles) return;
    add_up(shared);
    tiles = 0;
  }

  __device__ void finish(const FusedImages& images, const Tiling& tiling, uint32_t parts, Shared& shared,
                         ChannelMoments* moments) {
    const int32_t warp = static_cast<int32_t>(threadIdx.x) / kWarp,
                  lane = static_cast<int32_t>(threadIdx.x) % kWarp;
    // Lane i has sum i, of the products of factors a and b.
    int a = 0, b = lane;
    for (int row = kFactors; b >= row && a < kFactors; --row, ++a) b -= row;
    b += a;
    const bool has_sum = lane <= kSums;
    double weight = 0.0, other_weight = 0.0;
    if (has_sum && warp < images.fused) {
      weight = weight_of(images, warp, a);
      other_weight = weight_of(images, warp, b);
    }
    if (threadIdx.x == kSums) {
      int64_t pixels = 0;
      for (uint32_t i = blockIdx.x % parts; i < tiling.an_image; i += parts) {
        const Patch patch = tile_of(tiling, i);
        pixels += patch.rows * patch.columns;
      }
      shared.total[kSums] = static_cast<double>(pixels);
    }
    add_up(shared);
    const double total = has_sum ? shared.total[lane] : 0.0;
    if (warp < images.fused) {
      const double product = weight * other_weight * total;
      const double first = warp_sum(b == kChannels ? weight * total : 0.0);
      const double square = warp_sum(a == b ? product : 2.0 * product);
      if (lane == 0) moments[warp] = {first, square};
    } else if (warp == kTileBlock / kWarp - 1 && lane < kChannels) {
      moments[images.fused + lane] = {shared.total[index_of(lane, kChannels)],
                                      shared.total[index_of(lane, lane)]};
    }
  }

 private:
  /// Of a factor in a fused channel.
  static __device__ __forceinline__ double weight_of(const FusedImages& images, int32_t fused, int factor) {
    return static_cast<double>(factor == kChannels ? images.bias[fused]
                                                   : MixedPixels::weight_of(images, fused, factor));
  }

  /// Adds the threads' sums to the block's; all threads take part, and have it after.
  __device__ void add_up(Shared& shared) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      shared.of_thread[i][threadIdx.x] = sum[i];
      sum[i] = 0;
    }
    __syncthreads();
    for (int32_t i = static_cast<int32_t>(threadIdx.x) / kWarp; i < kSums; i += kTileBlock / kWarp) {
      double total = 0.0;  // whole, and below 2^53
      for (int32_t k = static_cast<int32_t>(threadIdx.x) % kWarp; k < kTileBlock; k += kWarp)
        total += static_cast<double>(shared.of_thread[i][k]);
      total = warp_sum(total);
      if (threadIdx.x % kWarp == 0) shared.total[i] += total;
    }
    __syncthreads();
  }

  /// Channels of one pixel, or of four, a byte a pixel.
  template <int kPixels>
  __device__ __forceinline__ void add(const uint32_t (&v)[kChannels]) {
    const auto add_product = [](uint32_t a, uint32_t b, uint32_t& to) {
      if constexpr (kPixels == 1) {
        to += a * b;
      } else {
        to = __dp4a(a, b, to);
      }
    };
    constexpr uint32_t kOnes = kPixels == 1 ? 1 : 0x01010101;
#pragma unroll
    for (int a = 0; a < kChannels; ++a) {
#pragma unroll
      for (int b = a; b < kChannels; ++b) add_product(v[a], v[b], sum[index_of(a, b)]);
      add_product(v[a], kOnes, sum[index_of(a, kChannels)]);
    }
  }
};

template <typename F>
using SumsOf = std::conditional_t<std::is_same_v<F, MixedSix>, CovarianceSums, ValueSums<F>>;

template <typename Sums>
struct StatisticsShared {
  typename Sums::Pixels::Table table;
  typename Sums::Shared sums;
};

template <typename Sums>
__global__ void __launch_bounds__(kTileBlock, Sums::kBlocksAtOnce)
    image_statistics_kernel(FusedImages images, Tiling tiling, uint32_t parts, ChannelMoments* moments) {
  using F = typename Sums::Pixels;
  auto& shared = block_shared<StatisticsShared<Sums>>();
  uint8_t* raw = dynamic_shared<uint8_t>();
  const uint32_t image = blockIdx.x / parts;
  const PixelPart part(F::groups(images), tiling.log_side);
  F::fill(images, shared.table);
  Sums sums(images, tiling, part, shared.sums);
  for (uint32_t i = blockIdx.x % parts; i < tiling.an_image; i += parts) {
    const Patch patch = tile_of(tiling, i);
    const uint8_t* first = first_raw(images, tiling, image, patch);
    if (tiling.staged != 0) stage(images, tiling, first, patch, raw);
    wait_copies();
    __syncthreads();
    const F fusion(images, shared.table, part.group);
    visit_patch(fusion, images, tiling, first, raw, patch, part, sums);
    __syncthreads();
    sums.end_tile(shared.sums);
  }
  sums.finish(images, tiling, parts, shared.sums,
              moments + int64_t{blockIdx.x} * (images.fused + Sums::kMoreChannels));
}

Tiling statistics_tiling(const FusedImages& images) {
  return tiling_of(images, kTileBytes, [](int64_t) { return 0; });
}

}  // namespace

int32_t statistics_parts(const FusedImages& images) {
  const uint32_t tiles = statistics_tiling(images).an_image;
  return static_cast<int32_t>(tiles < kMaxParts ? tiles : kMaxParts);
}

int32_t statistics_channels(const FusedImages& images) {
  int32_t more = 0;
  dispatch_fusion(images, true, [&]<typename F>(FusionTag<F>) { more = SumsOf<F>::kMoreChannels; });
  return images.fused + more;
}

void launch_image_statistics(const FusedImages& images, int32_t parts, ChannelMoments* moments,
                             device::Stream stream) {
  if (images.count == 0) return;
  const Tiling tiling = statistics_tiling(images);
  dispatch_fusion(images, true, [&]<typename F>(FusionTag<F>) {
    launch("image_statistics", image_statistics_kernel<SumsOf<F>>,
           {.grid = {static_cast<unsigned>(images.count * parts)},
            .block = {kTileBlock},
            .shared_bytes = static_cast<size_t>(tiling.raw_bytes),
            .stream = stream},
           images, tiling, static_cast<uint32_t>(parts), moments);
  });
}

}  // namespace cytograd
