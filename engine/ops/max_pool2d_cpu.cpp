// Largest value of each window, padding left out, and where it is. The first of equals wins; a NaN wins over
// all before it, as in PyTorch. Forward reads each input (window / stride)^2 times, from the cache; backward
// gathers, each input pixel from the windows that cover it, so that every dx is written once by one thread.
#include <algorithm>

#include "engine/backend_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kBlock = 64;  // channels whose running results stay in registers and the L1 cache

struct Extents {
  int64_t images, height, width, channels;  // of x
  int64_t rows, columns;                    // of y
  MaxPool2dOptions options;

  Extents(const Shape& x, const MaxPool2dOptions& o)
      : images(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        rows(o.output_extent(x[1])),
        columns(o.output_extent(x[2])),
        options(o) {
    CHECK(height > 0 && width > 0, "x of {} x {} pixels", height, width);
  }
};

/// Window positions [begin, end) that fall inside the image.
struct Taps {
  int64_t begin, end;
  Taps(int64_t first, int64_t extent, int64_t window)
      : begin(std::max<int64_t>(0, -first)), end(std::min(window, extent - first)) {}
};

/// One output pixel's `count` <= kBlock channels from the window whose corner is at (top, left).
template <typename T>
void pool_block(const T* image, const Extents& e, int64_t top, int64_t left, const Taps& vertical,
                const Taps& horizontal, int64_t count, T* y, uint8_t* index) {
  const int64_t window = e.options.window;
  const auto pixel = [&](int64_t kh, int64_t kw) {
    return image + ((top + kh) * e.width + left + kw) * e.channels;
  };
  float best[kBlock];
  int32_t where[kBlock];
  const int32_t start = static_cast<int32_t>(vertical.begin * window + horizontal.begin);
  const T* corner = pixel(vertical.begin, horizontal.begin);
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) {
    best[c] = static_cast<float>(corner[c]);
    where[c] = start;
  }
  for (int64_t kh = vertical.begin; kh < vertical.end; ++kh) {
    for (int64_t kw = horizontal.begin; kw < horizontal.end; ++kw) {
      const T* tap = pixel(kh, kw);
      const int32_t here = static_cast<int32_t>(kh * window + kw);
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const float v = static_cast<float>(tap[c]);
        const bool wins = (v > best[c]) | (v != v);
        best[c] = wins ? v : best[c];
        where[c] = wins ? here : where[c];
      }
    }
  }
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) store_rounded(y[c], best[c]);
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) index[c] = static_cast<uint8_t>(where[c]);
}

template <typename T>
void pool_row(const T* image, const Extents& e, int64_t row, T* y, uint8_t* index) {
  const int64_t top = row * e.options.stride - e.options.padding;
  const Taps vertical(top, e.height, e.options.window);
  for (int64_t column = 0; column < e.columns; ++column) {
    const int64_t left = column * e.options.stride - e.options.padding;
    const Taps horizontal(left, e.width, e.options.window);
    for (int64_t c = 0; c < e.channels; c += kBlock) {
      const int64_t out = column * e.channels + c;
      if (c + kBlock <= e.channels) {
        pool_block(image + c, e, top, left, vertical, horizontal, kBlock, y + out, index + out);
      } else {
        pool_block(image + c, e, top, left, vertical, horizontal, e.channels - c, y + out, index + out);
      }
    }
  }
}

/// Output positions [begin, end) whose windows cover input position i.
struct Cover {
  int64_t begin, end;
  Cover(int64_t i, int64_t outputs, const MaxPool2dOptions& o) {
    const int64_t past = i + o.padding - o.window;  // a window that starts here or earlier ends before i
    begin = past < 0 ? 0 : past / o.stride + 1;
    end = std::min(outputs, (i + o.padding) / o.stride + 1);
  }
};

/// dx of one input pixel's `count` <= kBlock channels. dy and index are at the image's first output.
template <typename T>
void gather_block(const T* dy, const uint8_t* index, const Extents& e, int64_t row, int64_t column,
                  const Cover& rows, const Cover& columns, int64_t count, T* dx) {
  float sum[kBlock];
  std::fill_n(sum, count, 0.0f);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t q = columns.begin; q < columns.end; ++q) {
      const int64_t kh = row + e.options.padding - r * e.options.stride;
      const int64_t kw = column + e.options.padding - q * e.options.stride;
      const int32_t here = static_cast<int32_t>(kh * e.options.window + kw);
      const int64_t at = (r * e.columns + q) * e.channels;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const float g =
            static_cast<float>(dy[at + c]);  // of 16 bits, read under a condition, nothing vectorises
        sum[c] += int32_t{index[at + c]} == here ? g : 0.0f;
      }
    }
  }
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) store_rounded(dx[c], sum[c]);
}

template <typename T>
void gather_row(const T* dy, const uint8_t* index, const Extents& e, int64_t row, T* dx) {
  const Cover rows(row, e.rows, e.options);
  for (int64_t column = 0; column < e.width; ++column) {
    const Cover columns(column, e.columns, e.options);
    for (int64_t c = 0; c < e.channels; c += kBlock) {
      T* out = dx + (column * e.channels + c);
      if (c + kBlock <= e.channels) {
        gather_block(dy + c, index + c, e, row, column, rows, columns, kBlock, out);
      } else {
        gather_block(dy + c, index + c, e, row, column, rows, columns, e.channels - c, out);
      }
    }
  }
}

}  // namespace

Backend::MaxPool2dForward CpuBackend::max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  const Extents e(x.shape(), options);
  const Shape y_shape{e.images, e.rows, e.columns, e.channels};
  MaxPool2dForward result{Tensor::empty(y_shape, x.dtype()), Tensor::empty(y_shape, DType::u8)};
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* in = x.data<T>();
    T* out = result.y.data<T>();
    uint8_t* index = result.index.data<uint8_t>();
    parallel_for(e.images * e.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* image = in + i / e.rows * e.height * e.width * e.channels;
        const int64_t at = i * e.columns * e.channels;
        pool_row(image, e, i % e.rows, out + at, index + at);
      }
    });
  });
  return result;
}

Tensor CpuBackend::max_pool2d_backward(const Tensor& dy, const Tensor& index, const Shape& x_shape,
                                       const MaxPool2dOptions& options) {
  const Extents e(x_shape, options);
  Tensor dx = Tensor::empty(x_shape, dy.dtype());
  const uint8_t* where = index.data<uint8_t>();
  dispatch_float(dy.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* in = dy.data<T>();
    T* out = dx.data<T>();
    parallel_for(e.images * e.height, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / e.height * e.rows * e.columns * e.channels;
        gather_row(in + image, where + image, e, i % e.height, out + i * e.width * e.channels);
      }
    });
  });
  return dx;
}

}  // namespace cytograd
