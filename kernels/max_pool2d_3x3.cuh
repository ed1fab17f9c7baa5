// Max pooling with windows of 3, stride 2 and padding 1, as a ResNet begins. The window of output (r, q) lies around
// pixel (2r, 2q), which is always inside. A thread has 16 bytes of neighbouring channels of a column of y and goes down
// kStrip of its rows; it reads the row between two of them once. Indices within an image are of 32 bits.
//
// Forward, an odd row's largest of three taps serves the window above and the one below. A tap takes 5 instructions for
// two channels of 16 bits, 4 for one of f32. Backward, the four pixels from (2r, 2q) on are covered by four windows,
// with 9 of their taps: a comparison and an addition each. Sums are f32, the last window first, as in max_pool2d.cu.
// Instructions an element of x, as compiled for sm_90: forward 8 in 16 bits and 13 in f32, backward 10 to 12; of those
// that memory leaves time for (max_pool2d.cu), half in 16 bits and a third in f32.
#pragma once

#include "kernels/channels.cuh"
#include "kernels/max_pool2d.h"

namespace cytograd {
namespace {

constexpr int kStrip = 4;
constexpr int kStripBlock = 128;  // threads

template <typename T>
constexpr int kPerWord = 4 / sizeof(T);  // channels

/// 1 in each channel of a word.
template <typename T>
constexpr uint32_t kEach = sizeof(T) == 4 ? 1 : 0x00010001u;

/// Minus infinity in each channel of a word.
template <typename T>
constexpr uint32_t kLowest = std::is_same_v<T, float>  ? 0xff800000u
                             : std::is_same_v<T, bf16> ? 0xff80ff80u
                                                       : 0xfc00fc00u;

/// The running thread's part of each image: words are of 32 bits.
template <typename T>
struct Lane {
  int pixel;   ///< words
  int column;  ///< of y; there may be none such
  int word;    ///< the first of the thread's four of a pixel
  int begin;   ///< rows of y
  int end;

  __device__ explicit Lane(const MaxPool2dSizes& sizes)
      : pixel(static_cast<int>(sizes.channels * int{sizeof(T)} / 4)),
        begin(static_cast<int>(blockIdx.y) * kStrip) {
    const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), packs = pixel / 4;
    column = item / packs;
    word = 4 * (item - column * packs);
    const int rows = static_cast<int>(sizes.rows);
    end = begin + kStrip < rows ? begin + kStrip : rows;  // mutation: either is the same there
  }
};

/// The largest of some taps and where they are in the window, by words.
template <typename T>
struct Largest {
  uint32_t value[4];
  uint32_t where[4];

  /// `v`, later than what was seen, at `at`: word i of it.
  __device__ __forceinline__ void see(int i, uint32_t v, uint32_t at) {
    if constexpr (sizeof(T) == 4) {
      const float later = __uint_as_float(v);
      const bool wins = later > __uint_as_float(value[i]) || later != later;
      value[i] = wins ? v : value[i];
      where[i] = wins ? at : where[i];
    } else {
      const uint32_t wins = halves_greater<T>(v, value[i]) | halves_nan<T>(v);
      value[i] = (v & wins) | (value[i] & ~wins);
      where[i] = (at & wins) | (where[i] & ~wins);
    }
  }
  __device__ __forceinline__ void see(const Largest& later) {
#pragma unroll
    for (int i = 0; i < 4; ++i) see(i, later.value[i], later.where[i]);
  }
};

/// Which of a row's taps are inside the image.
struct Inside3 {
  bool left;
  bool right;
};

/// A row's three taps; what is outside is minus infinity.
template <typename T>
struct Taps {
  Sixteen<T> of[3];

  /// `row`: whether it is inside.
  __device__ __forceinline__ Taps(const uint32_t* middle, int pixel, bool row, Inside3 inside) {
    const bool has[] = {row && inside.left, row, row && inside.right};
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      of[k] = {{kLowest<T>, kLowest<T>, kLowest<T>, kLowest<T>}};
      if (has[k]) of[k] = load_sixteen<T>(middle + (k - 1) * pixel);
    }
  }

  /// The first tap is at `first`, or, where it is outside, gives the next one's place to minus infinities.
  __device__ __forceinline__ Largest<T> largest(uint32_t first, Inside3 inside) const {
    Largest<T> best;
    const uint32_t start = (inside.left ? first : first + 1) * kEach<T>;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      best.value[i] = of[0].words[i];
      best.where[i] = start;
      best.see(i, of[1].words[i], (first + 1) * kEach<T>);
      best.see(i, of[2].words[i], (first + 2) * kEach<T>);
    }
    return best;
  }
};

template <typename T>
__device__ __forceinline__ void store_largest(const Largest<T>& best, uint32_t* y, uint8_t* index) {
  const uint32_t* where = best.where;
  Sixteen<T> value = {{best.value[0], best.value[1], best.value[2], best.value[3]}};
  if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<uint32_t*>(index) =
        __byte_perm(__byte_perm(where[0], where[1], 0x0040), __byte_perm(where[2], where[3], 0x0040), 0x5410);
  } else {
#pragma unroll
    for (int i = 0; i < kEight; ++i) value.set(i, T(value[i]));  // of a NaN, that of T
    *reinterpret_cast<uint2*>(index) = {__byte_perm(where[0], where[1], 0x6420),
                                        __byte_perm(where[2], where[3], 0x6420)};
  }
  store_sixteen(y, value);
}

template <typename T>
__global__ void __launch_bounds__(kStripBlock, 8)
    max_pool2d_3x3_kernel(const uint32_t* x, uint32_t* y, uint8_t* index, MaxPool2dSizes sizes) {
  const Lane<T> lane(sizes);
  const int height = static_cast<int>(sizes.height), width = static_cast<int>(sizes.width);
  const int rows = static_cast<int>(sizes.rows), columns = static_cast<int>(sizes.columns);
  const auto images = static_cast<unsigned>(sizes.images);
  if (lane.column >= columns) return;
  const Inside3 inside{lane.column > 0, 2 * lane.column + 1 < width};
  const int x_row = width * lane.pixel, y_row = columns * lane.pixel;
  for (unsigned image = blockIdx.z; image < images; image += gridDim.z) {
    const uint32_t* middle = x + int64_t{image} * (height * x_row) +
                             (2 * lane.begin * x_row + 2 * lane.column * lane.pixel + lane.word);
    const int64_t at =
        int64_t{image} * (rows * y_row) + (lane.begin * y_row + lane.column * lane.pixel + lane.word);
    uint32_t* largest = y + at;
    uint8_t* places = index + at * kPerWord<T>;
    Largest<T> best = Taps<T>(middle - x_row, lane.pixel, lane.begin > 0, inside).largest(0, inside);
    if (lane.begin == 0) {
#pragma unroll
      for (uint32_t& where : best.where) where += 3 * kEach<T>;
    }
    for (int row = lane.begin; row < lane.end; ++row) {
      const Taps<T> taps(middle, lane.pixel, true, inside);
      const Taps<T> taps_below(middle + x_row, lane.pixel, 2 * row + 1 < height, inside);
      const Largest<T> below = taps_below.largest(6, inside);
      best.see(taps.largest(3, inside));
      best.see(below);
      store_largest(best, largest, places);
      best = below;
#pragma unroll
      for (uint32_t& where : best.where) where -= 6 * kEach<T>;
      middle += 2 * x_row;
      largest += y_row;
      places += y_row * kPerWord<T>;
    }
  }
}

/// One window's gradients and the places of its maxima.
template <typename T>
struct Window {
  Sixteen<T> gradient;
  uint32_t where[Pack<T>::kCount / 4];

  /// A window of no maxima where there is none.
  __device__ __forceinline__ Window(const uint32_t* dy, const uint8_t* index, bool exists) {
    gradient = {};
#pragma unroll
    for (uint32_t& bytes : where) bytes = ~0u;
    if (!exists) return;
    gradient = load_sixteen<T>(dy);
    if constexpr (sizeof(T) == 4) {
      where[0] = *reinterpret_cast<const uint32_t*>(index);
    } else {
      const uint2 bytes = *reinterpret_cast<const uint2*>(index);
      where[0] = bytes.x;
      where[1] = bytes.y;
    }
  }
};

/// A channel's gradients of the windows whose maximum lies at `place`: what a pixel gets from a window.
template <typename T>
__device__ __forceinline__ void add_where(float& sum, const Window<T>& window, int i, uint32_t place) {
  const int shift = 8 * (i % 4);
  if ((window.where[i / 4] & (0xffu << shift)) == place << shift) sum += window.gradient[i];
}

template <typename T>
__global__ void __launch_bounds__(kStripBlock, 7)
    max_pool2d_3x3_backward_kernel(const uint32_t* dy, const uint8_t* index, uint32_t* dx,
                                   MaxPool2dSizes sizes) {
  const Lane<T> lane(sizes);
  const int height = static_cast<int>(sizes.height), width = static_cast<int>(sizes.width);
  const int rows = static_cast<int>(sizes.rows), columns = static_cast<int>(sizes.columns);
  const auto images = static_cast<unsigned>(sizes.images);
  if (lane.column >= columns) return;
  const bool next = lane.column + 1 < columns, right = 2 * lane.column + 1 < width;
  const int x_row = width * lane.pixel, y_row = columns * lane.pixel;
  for (unsigned image = blockIdx.z; image < images; image += gridDim.z) {
    const int64_t at =
        int64_t{image} * (rows * y_row) + (lane.begin * y_row + lane.column * lane.pixel + lane.word);
    const uint32_t* gradients = dy + at;
    const uint8_t* places = index + at * kPerWord<T>;
    uint32_t* out = dx + int64_t{image} * (height * x_row) +
                    (2 * lane.begin * x_row + 2 * lane.column * lane.pixel + lane.word);
    const int beside_places = lane.pixel * kPerWord<T>;
    Window<T> here(gradients, places, true);
    Window<T> beside(gradients + lane.pixel, places + beside_places, next);
    for (int row = lane.begin; row < lane.end; ++row) {
      gradients += y_row;
      places += y_row * kPerWord<T>;
      const bool more = row + 1 < rows;
      const Window<T> below(gradients, places, more);
      const Window<T> across(gradients + lane.pixel, places + beside_places, more && next);
      Sixteen<T> pixel[4] = {};
#pragma unroll
      for (int i = 0; i < Pack<T>::kCount; ++i) {
        float sum[4] = {};
        add_where(sum[0], here, i, 4);
        add_where(sum[1], beside, i, 3);
        add_where(sum[1], here, i, 5);
        add_where(sum[2], below, i, 1);
        add_where(sum[2], here, i, 7);
        add_where(sum[3], across, i, 0);
        add_where(sum[3], below, i, 2);
        add_where(sum[3], beside, i, 6);
        add_where(sum[3], here, i, 8);
#pragma unroll
        for (int k = 0; k < 4; ++k) pixel[k].set(i, T(sum[k]));
      }
      const bool lower = 2 * row + 1 < height;
      store_sixteen(out, pixel[0]);
      if (right) store_sixteen(out + lane.pixel, pixel[1]);
      out += x_row;
      if (lower) store_sixteen(out, pixel[2]);
      if (lower && right) store_sixteen(out + lane.pixel, pixel[3]);
      out += x_row;
      here = below;
      beside = across;
    }
  }
}

/// Whether the kernels above can take these arrays.
inline bool is_3x3(const MaxPool2dSizes& sizes, std::initializer_list<const void*> arrays) {
  const int64_t bytes = sizes.type == ElementType::f32 ? 4 : 2;
  const int64_t pixel = sizes.channels * bytes;
  const bool aligned = std::ranges::all_of(arrays, aligned16);
  return sizes.window == 3 && sizes.stride == 2 && sizes.padding == 1 && pixel % 16 == 0 && aligned &&
         sizes.rows <= 65535 && sizes.images < (int64_t{1} << 31) &&
         (sizes.height + 2) * (sizes.width + 2) * pixel / 4 < (int64_t{1} << 31);
}

/// So many blocks, if there are images for them, that all multiprocessors are full till the end.
inline LaunchConfig grid_3x3(const MaxPool2dSizes& sizes, device::Stream stream) {
  const int64_t per_thread = sizes.type == ElementType::f32 ? 4 : 8;
  const int64_t tiles = (sizes.columns * (sizes.channels / per_thread) + kStripBlock - 1) / kStripBlock;
  const int64_t strips = (sizes.rows + kStrip - 1) / kStrip;
  const int64_t most = int64_t{multiprocessors()} * 64 / (tiles * strips);
  const int64_t images = std::clamp<int64_t>(most, 1, std::min<int64_t>(sizes.images, 65535));
  return {
      .grid = {static_cast<unsigned>(tiles), static_cast<unsigned>(strips), static_cast<unsigned>(images)},
      .block = {kStripBlock},
      .stream = stream};
}

}  // namespace
}  // namespace cytograd
