// Forward, a thread has eight channels of one output pixel; backward, of one input pixel, for which it gathers from the
// windows that cover it: each dx is written once, by one thread, in one order. Overlaps come from the caches.
// Bytes an element of x, window 3 and stride 2: x read or dx written once, y or dy 1/4, index 1/4 byte; 5.25 in f32,
// 2.75 in 16 bits; at 4.3 TB/s, 819 and 1,564 billion elements a second. But about 23 instructions an element forward
// and 38 backward, where an H100 issues 40 in f32 and 21 in 16 bits in that time: instructions bound it in 16 bits.
// Those windows, with padding 1, have kernels of their own, max_pool2d_3x3.cuh; the ones here take all others.
// An H200 at 632b5f2, in shares of a copy, with those: 0.91 to 0.93 forward, 0.87 to 0.88 backward.
#include "kernels/channels.cuh"
#include "kernels/max_pool2d.h"
#include "kernels/max_pool2d_3x3.cuh"

namespace cytograd {
namespace {

constexpr int kWindowsInFlight = 2;  // as many as cover a pixel along a row, of window 3 and stride 2

/// The eight indices as they lie in memory; past `count` 0.
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

/// Positions [begin, end) of a window whose first is at `first` that lie in [0, extent).
struct Inside {
  int begin;
  int end;
  __device__ Inside(int64_t first, int64_t extent, int window)
      : begin(first < 0 ? static_cast<int>(-first) : 0),
        end(first + window <= extent ? window : static_cast<int>(extent - first)) {}
};

/// Rows of y are dealt to the grid, their pixels to threadIdx.y.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 3)
    max_pool2d_kernel(const T* x, T* y, uint8_t* index, MaxPool2dSizes sizes) {
  const int64_t channels = sizes.channels;
  const ChannelWalk walk(0, channels);
  if (walk.count <= 0) return;
  const int window = sizes.window;
  for (int64_t line = blockIdx.y; line < sizes.images * sizes.rows; line += gridDim.y) {
    const int64_t image = line / sizes.rows;
    const int64_t top = (line - image * sizes.rows) * sizes.stride - sizes.padding;
    const Inside vertical(top, sizes.height, window);
    const T* row = x + (image * sizes.height + top) * sizes.width * channels + walk.channel;
    for (int column = static_cast<int>(threadIdx.y); column < sizes.columns;
         column += static_cast<int>(blockDim.y)) {
      const int64_t left = int64_t{column} * sizes.stride - sizes.padding;
      const Inside horizontal(left, sizes.width, window);
      const T* corner = row + left * channels;
      float best[kEight];
      int where[kEight];
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        best[i] = -INFINITY;
        where[i] = vertical.begin * window + horizontal.begin;
      }
      for (int kh = vertical.begin; kh < vertical.end; ++kh) {
#pragma unroll 3
        for (int kw = horizontal.begin; kw < horizontal.end; ++kw) {
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
      const int64_t at = (line * sizes.columns + column) * channels + walk.channel;
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
}

/// The windows along an axis that cover a position: `last`, in which it is at `place`, and those before, each with the
/// place a stride on.
struct Covering {
  int last;
  int place;
  __device__ Covering(int position, const MaxPool2dSizes& sizes) {
    const unsigned padded = static_cast<unsigned>(position + sizes.padding);
    const unsigned stride = static_cast<unsigned>(sizes.stride);
    last = static_cast<int>(padded / stride);
    place = static_cast<int>(padded % stride);
  }
};

/// Rows of x are dealt to the grid, their pixels to threadIdx.y.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 3)
    max_pool2d_backward_kernel(const T* dy, const uint8_t* index, T* dx, MaxPool2dSizes sizes) {
  const int64_t channels = sizes.channels;
  const ChannelWalk walk(0, channels);
  if (walk.count <= 0) return;
  for (int64_t line = blockIdx.y; line < sizes.images * sizes.height; line += gridDim.y) {
    const int64_t image = line / sizes.height;
    const Covering vertical(static_cast<int>(line - image * sizes.height), sizes);
    const int64_t y_line = sizes.columns * channels;
    const int64_t last_line = (image * sizes.rows + vertical.last) * y_line + walk.channel;
    for (int column = static_cast<int>(threadIdx.y); column < sizes.width;
         column += static_cast<int>(blockDim.y)) {
      const Covering horizontal(column, sizes);
      float sum[kEight] = {};
      int64_t from_line = last_line + horizontal.last * channels;
      for (int kh = vertical.place, r = vertical.last; kh < sizes.window && r >= 0;
           kh += sizes.stride, --r, from_line -= y_line) {
        if (r >= sizes.rows) continue;
        int64_t from = from_line;
        for (int kw = horizontal.place, q = horizontal.last; kw < sizes.window && q >= 0;
             kw += kWindowsInFlight * sizes.stride, q -= kWindowsInFlight,
                 from -= kWindowsInFlight * channels) {
          Eight<T> gradient[kWindowsInFlight];
          uint2 indices[kWindowsInFlight];
#pragma unroll
          for (int k = 0; k < kWindowsInFlight; ++k) {
            const bool covers =
                (k == 0 || (kw + k * sizes.stride < sizes.window && q - k >= 0)) && q - k < sizes.columns;
            const int64_t at = from - k * channels;
            gradient[k] = covers ? load_eight<kPacked>(dy + at, walk.count) : Eight<T>{};
            indices[k] = covers ? load_indices<kPacked>(index + at, walk.count) : uint2{~0u, ~0u};
          }
#pragma unroll
          for (int k = 0; k < kWindowsInFlight; ++k) {
            // A byte of 0 where the maximum was here.
            const auto here = static_cast<unsigned>(kh * sizes.window + kw + k * sizes.stride) * 0x01010101u;
            const unsigned low = indices[k].x ^ here, high = indices[k].y ^ here;
#pragma unroll
            for (int i = 0; i < kEight; ++i) {
              if (((i < 4 ? low : high) & (0xffu << (8 * (i % 4)))) == 0) sum[i] += gradient[k][i];
            }
          }
        }
      }
      Eight<T> result{};
#pragma unroll
      for (int i = 0; i < kEight; ++i) result.set(i, T(sum[i]));
      store_eight<kPacked>(dx + (line * sizes.width + column) * channels + walk.channel, result, walk.count);
    }
  }
}

/// A block for each row of pixels, or so many that all multiprocessors are full till the end.
ChannelGrid line_grid(int64_t lines, int64_t channels) {
  ChannelGrid grid = channel_grid(1, channels, {});
  const int64_t most = std::min<int64_t>(int64_t{multiprocessors()} * 32, 65535);
  grid.grid.y = static_cast<unsigned>(std::min(lines, most));
  return grid;
}

}  // namespace

void launch_max_pool2d(const MaxPool2dArguments& arguments, device::Stream stream) {
  const MaxPool2dSizes& sizes = arguments.sizes;
  const int64_t lines = sizes.images * sizes.rows;
  if (lines * sizes.columns * sizes.channels == 0) return;
  if (is_3x3(sizes, {arguments.x, arguments.y, arguments.index})) {
    dispatch_element(sizes.type, [&]<typename T>(ElementTag<T>) {
      launch("max_pool2d", max_pool2d_3x3_kernel<T>, grid_3x3(sizes, stream),
             static_cast<const uint32_t*>(arguments.x), static_cast<uint32_t*>(arguments.y), arguments.index,
             sizes);
    });
    return;
  }
  const ChannelGrid grid = line_grid(lines, sizes.channels);
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
  const int64_t lines = sizes.images * sizes.height;
  if (lines * sizes.width * sizes.channels == 0) return;
  if (is_3x3(sizes, {arguments.dy, arguments.index, arguments.dx})) {
    dispatch_element(sizes.type, [&]<typename T>(ElementTag<T>) {
      launch("max_pool2d_backward", max_pool2d_3x3_backward_kernel<T>, grid_3x3(sizes, stream),
             static_cast<const uint32_t*>(arguments.dy), arguments.index,
             static_cast<uint32_t*>(arguments.dx), sizes);
    });
    return;
  }
  const ChannelGrid grid = line_grid(lines, sizes.channels);
  dispatch_channels(
      sizes.type, packed_channels(sizes.channels, {arguments.dy, arguments.index, arguments.dx}),
      [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
        launch("max_pool2d_backward", max_pool2d_backward_kernel<T, Packed::value>,
               {.grid = grid.grid, .block = grid.block, .stream = stream},
               static_cast<const T*>(arguments.dy), arguments.index, static_cast<T*>(arguments.dx), sizes);
      });
}

}  // namespace cytograd
