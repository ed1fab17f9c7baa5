// y = mean of x over an image's pixels; dx = dy / pixels at each of them. A block has up to 512 bytes of an image's
// channels; sums are f32, in one order. Bytes an element of x: 4 in f32, 2 in 16 bits, read forward, written backward;
// at 4.3 TB/s, 1,075 and 2,150 billion elements a second.
// An H200 at 632b5f2, in shares of a copy, of 26 and 34 million elements: forward 0.67 and 0.70 in f32, 0.86 and 0.89
// in bf16; backward 0.77 and 0.85, 0.85 and 0.91.
#include "kernels/channels.cuh"
#include "kernels/global_avg_pool.h"

namespace cytograd {
namespace {

/// The running thread's channels [channel, channel + count) of an image: 16 bytes where they can be accessed at once,
/// so that a warp's accesses have no gaps. Its pixels' elements begin at `first`, `first + stride`, ... below `end`.
template <typename T, bool kPacked>
struct Part {
  static constexpr int kChannels = kPacked ? Pack<T>::kCount : kEight;
  using Values = Neighbours<T, kChannels>;

  int64_t image;
  int64_t channel;
  int count;
  int64_t first;
  int64_t stride;
  int64_t end;

  /// `tiles`: blocks of an image.
  __device__ Part(int64_t pixels, int64_t channels, unsigned tiles) : image(blockIdx.x / tiles) {
    channel = (int64_t{blockIdx.x % tiles} * blockDim.x + threadIdx.x) * kChannels;
    count = static_cast<int>(channels - channel < kChannels ? channels - channel : kChannels);
    first = threadIdx.y * channels + channel;
    stride = blockDim.y * channels;
    end = count > 0 ? pixels * channels : 0;
  }

  __device__ __forceinline__ Values load(const T* p) const {
    if constexpr (kPacked) {
      return load_sixteen<T>(p);
    } else {
      return load_eight<false>(p, count);
    }
  }
  __device__ __forceinline__ void store(T* p, const Values& v) const {
    if constexpr (kPacked) {
      store_sixteen<T>(p, v);
    } else {
      store_eight<false>(p, v, count);
    }
  }
};

template <int kChannels>
struct PoolShared {
  float sums[kChannels][kChannelBlock];
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    global_avg_pool_kernel(const T* x, T* y, int64_t pixels, int64_t channels, unsigned tiles) {
  const Part<T, kPacked> part(pixels, channels, tiles);
  constexpr int kChannels = part.kChannels, kPixelsInFlight = kPacked ? 8 : 2;
  using Values = typename Part<T, kPacked>::Values;
  const T* image = x + part.image * pixels * channels;
  float sums[kChannels] = {};
  for (int64_t first = part.first; first < part.end; first += kPixelsInFlight * part.stride) {
    Values v[kPixelsInFlight];
#pragma unroll
    for (int k = 0; k < kPixelsInFlight; ++k) {
      const int64_t at = first + k * part.stride;
      v[k] = k == 0 || at < part.end ? part.load(image + at) : Values{};
    }
#pragma unroll
    for (int k = 0; k < kPixelsInFlight; ++k) {
#pragma unroll
      for (int i = 0; i < kChannels; ++i) sums[i] += v[k][i];
    }
  }
  sum_down(sums, block_shared<PoolShared<kChannels>>().sums);
  if (threadIdx.y != 0 || part.count <= 0) return;
  const float share = 1.0f / static_cast<float>(pixels);
  Values mean{};
#pragma unroll
  for (int i = 0; i < kChannels; ++i) mean.set(i, T(sums[i] * share));
  part.store(y + part.image * channels + part.channel, mean);
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock)
    global_avg_pool_backward_kernel(const T* dy, T* dx, int64_t pixels, int64_t channels, unsigned tiles) {
  const Part<T, kPacked> part(pixels, channels, tiles);
  if (part.count <= 0) return;
  const float share = 1.0f / static_cast<float>(pixels);
  auto gradient = part.load(dy + part.image * channels + part.channel);
#pragma unroll
  for (int i = 0; i < part.kChannels; ++i) {
    const float value = gradient[i];
    gradient.set(i, T(value * share));
  }
  T* image = dx + part.image * pixels * channels;
#pragma unroll 4
  for (int64_t at = part.first; at < part.end; at += part.stride) part.store(image + at, gradient);
}

template <typename Launch>
void dispatch(const GlobalAvgPoolArguments& arguments, const Launch& launch_typed) {
  const int64_t channels = arguments.channels;
  if (arguments.images * channels == 0) return;
  dispatch_channels(arguments.type, packed_channels(channels, {arguments.from, arguments.to}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      ChannelGrid grid = channel_grid(1, channels, {});
                      const int64_t of_block = grid.block.x * Part<T, Packed::value>::kChannels;
                      const auto tiles = static_cast<unsigned>((channels + of_block - 1) / of_block);
                      grid.grid.x = tiles * static_cast<unsigned>(arguments.images);
                      launch_typed(static_cast<const T*>(arguments.from), static_cast<T*>(arguments.to),
                                   Packed{}, grid, tiles);
                    });
}

}  // namespace

void launch_global_avg_pool(const GlobalAvgPoolArguments& arguments, device::Stream stream) {
  dispatch(arguments, [&]<typename T, typename Packed>(const T* x, T* y, Packed, const ChannelGrid& grid,
                                                       unsigned tiles) {
    launch("global_avg_pool", global_avg_pool_kernel<T, Packed::value>,
           {.grid = grid.grid, .block = grid.block, .stream = stream}, x, y, arguments.pixels,
           arguments.channels, tiles);
  });
}

void launch_global_avg_pool_backward(const GlobalAvgPoolArguments& arguments, device::Stream stream) {
  dispatch(arguments, [&]<typename T, typename Packed>(const T* dy, T* dx, Packed, const ChannelGrid& grid,
                                                       unsigned tiles) {
    launch("global_avg_pool_backward", global_avg_pool_backward_kernel<T, Packed::value>,
           {.grid = grid.grid, .block = grid.block, .stream = stream}, dy, dx, arguments.pixels,
           arguments.channels, tiles);
  });
}

}  // namespace cytograd
