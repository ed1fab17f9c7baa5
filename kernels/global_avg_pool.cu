// y = mean of x over an image's pixels; dx = dy / pixels at each of them. A block has up to 256 channels of an image;
// sums are f32, in one order. Bytes an element of x: 4 in f32, 2 in 16 bits, read forward, written backward; at
// 4.3 TB/s, 1,075 and 2,150 billion elements a second.
#include "kernels/channels.cuh"
#include "kernels/global_avg_pool.h"

namespace cytograd {
namespace {

constexpr int kPixelsInFlight = 4;

struct PoolShared {
  float sums[kEight][kChannelBlock];
};

/// The running block's image, and which `tile` of its channels.
struct ImageTile {
  int64_t image;
  int64_t tile;
  __device__ explicit ImageTile(int64_t tiles)
      : image(blockIdx.x / tiles), tile(blockIdx.x - image * tiles) {}
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    global_avg_pool_kernel(const T* x, T* y, int64_t pixels, int64_t channels, int64_t tiles) {
  const ImageTile block(tiles);
  const ChannelWalk walk(pixels, channels, block.tile);
  const T* image = x + block.image * pixels * channels;
  float sums[kEight] = {};
  for (int64_t first = walk.first; first < walk.end; first += kPixelsInFlight * walk.stride) {
    Eight<T> v[kPixelsInFlight];
#pragma unroll
    for (int k = 0; k < kPixelsInFlight; ++k) {
      v[k] =
          walk.has(first, k) ? load_eight<kPacked>(image + first + k * walk.stride, walk.count) : Eight<T>{};
    }
#pragma unroll
    for (int k = 0; k < kPixelsInFlight; ++k) {
#pragma unroll
      for (int i = 0; i < kEight; ++i) sums[i] += v[k][i];
    }
  }
  sum_down(sums, block_shared<PoolShared>().sums);
  if (threadIdx.y != 0 || walk.count <= 0) return;
  const float share = 1.0f / static_cast<float>(pixels);
  Eight<T> mean{};
#pragma unroll
  for (int i = 0; i < kEight; ++i) mean.set(i, T(sums[i] * share));
  store_eight<kPacked>(y + block.image * channels + walk.channel, mean, walk.count);
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock)
    global_avg_pool_backward_kernel(const T* dy, T* dx, int64_t pixels, int64_t channels, int64_t tiles) {
  const ImageTile block(tiles);
  const ChannelWalk walk(pixels, channels, block.tile);
  if (walk.count <= 0) return;
  const float share = 1.0f / static_cast<float>(pixels);
  Eight<T> gradient = load_eight<kPacked>(dy + block.image * channels + walk.channel, walk.count);
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    const float value = gradient[i];
    gradient.set(i, T(value * share));
  }
  T* image = dx + block.image * pixels * channels;
  for (int64_t at = walk.first; at < walk.end; at += walk.stride)
    store_eight<kPacked>(image + at, gradient, walk.count);
}

template <typename Launch>
void dispatch(const GlobalAvgPoolArguments& arguments, const Launch& launch_typed) {
  if (arguments.images * arguments.channels == 0) return;
  ChannelGrid grid = channel_grid(1, arguments.channels, {});
  const int64_t tiles = grid.grid.x;
  grid.grid.x *= static_cast<unsigned>(arguments.images);
  dispatch_channels(arguments.type, packed_channels(arguments.channels, {arguments.from, arguments.to}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      launch_typed(static_cast<const T*>(arguments.from), static_cast<T*>(arguments.to),
                                   Packed{}, grid, tiles);
                    });
}

}  // namespace

void launch_global_avg_pool(const GlobalAvgPoolArguments& arguments, device::Stream stream) {
  dispatch(arguments, [&]<typename T, typename Packed>(const T* x, T* y, Packed, const ChannelGrid& grid,
                                                       int64_t tiles) {
    launch("global_avg_pool", global_avg_pool_kernel<T, Packed::value>,
           {.grid = grid.grid, .block = grid.block, .stream = stream}, x, y, arguments.pixels,
           arguments.channels, tiles);
  });
}

void launch_global_avg_pool_backward(const GlobalAvgPoolArguments& arguments, device::Stream stream) {
  dispatch(arguments, [&]<typename T, typename Packed>(const T* dy, T* dx, Packed, const ChannelGrid& grid,
                                                       int64_t tiles) {
    launch("global_avg_pool_backward", global_avg_pool_backward_kernel<T, Packed::value>,
           {.grid = grid.grid, .block = grid.block, .stream = stream}, dy, dx, arguments.pixels,
           arguments.channels, tiles);
  });
}

}  // namespace cytograd
