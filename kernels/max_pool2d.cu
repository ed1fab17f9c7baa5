// Forward, a thread has eight channels of one output pixel; backward, of one input pixel, for which it gathers from the
// windows that cover it: each dx is written once, by one thread, in one order. Overlaps come from the caches.
// Bytes an element of x, window 3 and stride 2: x read or dx written once, y or dy 1/4, index 1/4 byte; 5.25 in f32,
// 2.75 in 16 bits; at 4.3 TB/s, 819 and 1,564 billion elements a second. About 15 instructions an element either way,
// half of what a Hopper GPU issues in that time in 16 bits.
#include "kernels/channels.cuh"
#include "kernels/max_pool2d.h"

namespace cytograd {
namespace {

constexpr int kWindowsInFlight = 2;  // as many as cover a pixel along a row, of window 3 and stride 2

/// A pixel of [images, rows, columns] by its number.
struct Pixel {
  int64_t image;
  int row;
  int column;
  __device__ Pixel(int64_t number, int64_t rows, int64_t columns) {
    const int64_t line = number / columns;
    column = static_cast<int>(number - line * columns);
    image = line / rows;
    row = static_cast<int>(line - image * rows);
  }
};

/// The eight indices as they lie in memory.
template <bool kPacked>
__device__ __forceinline__ uint2 load_indices(const uint8_t* p, int count) {
  if constexpr (kPacked) return *reinterpret_cast<const uint2*>(p);
  uint2 indices = {0, 0};
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    if (i < count) (i < 4 ? indices.x : indices.y) |= unsigned{p[i]} << (8 * (i % 4));
  }
  return indices;
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    max_pool2d_kernel(const T* x, T* y, uint8_t* index, MaxPool2dSizes sizes) {
  const int64_t channels = sizes.channels;
  const ChannelWalk walk(0, channels);
  if (walk.count <= 0) return;
  const int window = sizes.window;
  const int64_t pixels = sizes.images * sizes.rows * sizes.columns;
  for (int64_t number = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; number < pixels;
       number += int64_t{gridDim.y} * blockDim.y) {
    const Pixel pixel(number, sizes.rows, sizes.columns);
    const int64_t top = int64_t{pixel.row} * sizes.stride - sizes.padding;
    const int64_t left = int64_t{pixel.column} * sizes.stride - sizes.padding;
    const int kh_begin = top < 0 ? static_cast<int>(-top) : 0;
    const int kw_begin = left < 0 ? static_cast<int>(-left) : 0;
    const int kh_end = top + window <= sizes.height ? window : static_cast<int>(sizes.height - top);
    const int kw_end = left + window <= sizes.width ? window : static_cast<int>(sizes.width - left);
    const T* corner = x + ((pixel.image * sizes.height + top) * sizes.width + left) * channels + walk.channel;

    float best[kEight];
    int where[kEight];
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      best[i] = -INFINITY;
      where[i] = kh_begin * window + kw_begin;
    }
    for (int kh = kh_begin; kh < kh_end; ++kh) {
#pragma unroll 3
      for (int kw = kw_begin; kw < kw_end; ++kw) {
        const Eight<T> v = load_eight<kPacked>(corner + (kh * sizes.width + kw) * channels, walk.count);
#pragma unroll
        for (int i = 0; i < kEight; ++i) {
          const bool wins = v[i] > best[i] || v[i] != v[i];
          best[i] = wins ? v[i] : best[i];
          where[i] = wins ? kh * window + kw : where[i];
        }
      }
    }
    Eight<T> largest{};
    uint2 indices = {0, 0};
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      largest.set(i, T(best[i]));
      (i < 4 ? indices.x : indices.y) |= static_cast<unsigned>(where[i]) << (8 * (i % 4));
    }
    const int64_t at = number * channels + walk.channel;
    store_eight<kPacked>(y + at, largest, walk.count);
    if constexpr (kPacked) {
      *reinterpret_cast<uint2*>(index + at) = indices;
    } else {
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        if (i < walk.count) index[at + i] = static_cast<uint8_t>(where[i]);
      }
    }
  }
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    max_pool2d_backward_kernel(const T* dy, const uint8_t* index, T* dx, MaxPool2dSizes sizes) {
  const int64_t channels = sizes.channels;
  const ChannelWalk walk(0, channels);
  if (walk.count <= 0) return;
  const int64_t pixels = sizes.images * sizes.height * sizes.width;
  for (int64_t number = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; number < pixels;
       number += int64_t{gridDim.y} * blockDim.y) {
    const Pixel pixel(number, sizes.height, sizes.width);
    // The last window that begins here or before, and the pixel's place in it; windows before it are a stride on.
    const int last_row = (pixel.row + sizes.padding) / sizes.stride;
    const int last_column = (pixel.column + sizes.padding) / sizes.stride;
    const int kh_first = pixel.row + sizes.padding - last_row * sizes.stride;
    const int kw_first = pixel.column + sizes.padding - last_column * sizes.stride;
    float sum[kEight] = {};
    for (int kh = kh_first, row = last_row; kh < sizes.window && row >= 0; kh += sizes.stride, --row) {
      if (row >= sizes.rows) continue;
      const int64_t line = (pixel.image * sizes.rows + row) * sizes.columns;
      for (int kw = kw_first, column = last_column; kw < sizes.window && column >= 0;
           kw += kWindowsInFlight * sizes.stride, column -= kWindowsInFlight) {
        Eight<T> gradient[kWindowsInFlight];
        uint2 indices[kWindowsInFlight];
#pragma unroll
        for (int k = 0; k < kWindowsInFlight; ++k) {
          const bool covers =
              kw + k * sizes.stride < sizes.window && column - k >= 0 && column - k < sizes.columns;
          const int64_t at = (line + column - k) * channels + walk.channel;
          gradient[k] = covers ? load_eight<kPacked>(dy + at, walk.count) : Eight<T>{};
          indices[k] = covers ? load_indices<kPacked>(index + at, walk.count) : uint2{0, 0};
        }
#pragma unroll
        for (int k = 0; k < kWindowsInFlight; ++k) {
          const auto here = static_cast<unsigned>(kh * sizes.window + kw + k * sizes.stride);
#pragma unroll
          for (int i = 0; i < kEight; ++i) {
            const unsigned mine = ((i < 4 ? indices[k].x : indices[k].y) >> (8 * (i % 4))) & 0xffu;
            sum[i] += mine == here ? gradient[k][i] : 0.0f;
          }
        }
      }
    }
    Eight<T> result{};
#pragma unroll
    for (int i = 0; i < kEight; ++i) result.set(i, T(sum[i]));
    store_eight<kPacked>(dx + number * channels + walk.channel, result, walk.count);
  }
}

/// A thread has a few pixels: blocks of many would leave multiprocessors idle at the end.
ChannelGrid pixel_grid(int64_t pixels, int64_t channels) {
  return channel_grid(pixels, channels, {.rows_per_thread = 2, .blocks_per_multiprocessor = 32});
}

}  // namespace

void launch_max_pool2d(const MaxPool2dArguments& arguments, device::Stream stream) {
  const MaxPool2dSizes& sizes = arguments.sizes;
  const int64_t pixels = sizes.images * sizes.rows * sizes.columns;
  if (pixels * sizes.channels == 0) return;
  const ChannelGrid grid = pixel_grid(pixels, sizes.channels);
  dispatch_channels(sizes.type, packed_channels(sizes.channels, {arguments.x, arguments.y, arguments.index}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      launch("max_pool2d", max_pool2d_kernel<T, Packed::value>,
                             {.grid = grid.grid, .block = grid.block, .stream = stream},
                             static_cast<const T*>(arguments.x), static_cast<T*>(arguments.y),
                             arguments.index, sizes);
                    });
}

void launch_max_pool2d_backward(const MaxPool2dBackwardArguments& arguments, device::Stream stream) {
  const MaxPool2dSizes& sizes = arguments.sizes;
  const int64_t pixels = sizes.images * sizes.height * sizes.width;
  if (pixels * sizes.channels == 0) return;
  const ChannelGrid grid = pixel_grid(pixels, sizes.channels);
  dispatch_channels(
      sizes.type, packed_channels(sizes.channels, {arguments.dy, arguments.index, arguments.dx}),
      [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
        launch("max_pool2d_backward", max_pool2d_backward_kernel<T, Packed::value>,
               {.grid = grid.grid, .block = grid.block, .stream = stream},
               static_cast<const T*>(arguments.dy), arguments.index, static_cast<T*>(arguments.dx), sizes);
      });
}

}  // namespace cytograd
