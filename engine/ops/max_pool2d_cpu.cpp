// Largest value of each window, padding left out, and where it is. The first of equals wins; a NaN wins over
// all before it, as in PyTorch. Forward reads each input (window / stride)^2 times, from the cache; backward
// gathers, each input pixel from the windows that cover it, so that every dx is written once by one thread.
#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "engine/backend_cpu.h"
#include "engine/ops/lanes_cpu.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

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

/// kCount V's worth of channels of one output pixel, from the window whose corner is at (top, left).
template <typename V, int kCount, typename T>
[[gnu::flatten]] void pool_pixel(const T* image, const Extents& e, int64_t top, int64_t left,
                                 const Taps& vertical, const Taps& horizontal, T* y, uint8_t* index) {
  using Traits = LaneTraits<V>;
  using Int = typename Traits::Int;
  std::array<V, kCount> best;
  std::array<Int, kCount> where;
  const auto tap = [&](int64_t kh, int64_t kw, int n) {
    return Traits::load(image + ((top + kh) * e.width + left + kw) * e.channels + n * Traits::kCount);
  };
  unrolled<kCount>([&](int n) {
    best[n] = tap(vertical.begin, horizontal.begin, n);
    where[n] = Int{} + static_cast<int32_t>(vertical.begin * e.options.window + horizontal.begin);
  });
  for (int64_t kh = vertical.begin; kh < vertical.end; ++kh) {
    for (int64_t kw = horizontal.begin; kw < horizontal.end; ++kw) {
      const Int here = Int{} + static_cast<int32_t>(kh * e.options.window + kw);
      unrolled<kCount>([&](int n) {
        const V v = tap(kh, kw, n);
        const auto wins = (v > best[n]) | (v != v);
        best[n] = wins ? v : best[n];
        where[n] = wins ? here : where[n];
      });
    }
  }
  unrolled<kCount>([&](int n) { Traits::store(y + n * Traits::kCount, best[n]); });
  std::array<int32_t, kCount * Traits::kCount> positions;
  std::memcpy(positions.data(), where.data(), sizeof(positions));
  for (size_t i = 0; i < positions.size(); ++i) index[i] = static_cast<uint8_t>(positions[i]);
}

template <typename T>
void pool_row(const T* image, const Extents& e, int64_t row, T* y, uint8_t* index) {
  const int64_t top = row * e.options.stride - e.options.padding;
  const Taps vertical(top, e.height, e.options.window);
  for (int64_t column = 0; column < e.columns; ++column) {
    const int64_t left = column * e.options.stride - e.options.padding;
    const Taps horizontal(left, e.width, e.options.window);
    in_lanes(e.channels, [&]<typename V>(std::type_identity<V>, auto count, int64_t c) {
      const int64_t at = column * e.channels + c;
      pool_pixel<V, count>(image + c, e, top, left, vertical, horizontal, y + at, index + at);
    });
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

/// dx of kCount V's worth of channels of one input pixel. dy and index are at the image's first output.
template <bool kStreamed, typename V, int kCount, typename T>
[[gnu::flatten]] void gather_pixel(const T* dy, const uint8_t* index, const Extents& e, int64_t row,
                                   int64_t column, const Cover& rows, const Cover& columns, T* dx) {
  using Traits = LaneTraits<V>;
  std::array<V, kCount> sum{};
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t q = columns.begin; q < columns.end; ++q) {
      const int64_t kh = row + e.options.padding - r * e.options.stride;
      const int64_t kw = column + e.options.padding - q * e.options.stride;
      const auto here = static_cast<int32_t>(kh * e.options.window + kw);
      const int64_t at = (r * e.columns + q) * e.channels;
      unrolled<kCount>([&](int n) {
        const int64_t i = at + n * Traits::kCount;
        sum[n] += Traits::load_int(index + i) == here ? Traits::load(dy + i) : V{};
      });
    }
  }
  write<kStreamed, kCount * Traits::kCount>(dx, kCount * Traits::kCount, [&](T* room) {
    unrolled<kCount>([&](int n) { Traits::store(room + n * Traits::kCount, sum[n]); });
  });
}

template <bool kStreamed, typename T>
void gather_row(const T* dy, const uint8_t* index, const Extents& e, int64_t row, T* dx) {
  const Cover rows(row, e.rows, e.options);
  for (int64_t column = 0; column < e.width; ++column) {
    const Cover columns(column, e.columns, e.options);
    in_lanes(e.channels, [&]<typename V>(std::type_identity<V>, auto count, int64_t c) {
      gather_pixel<kStreamed, V, count>(dy + c, index + c, e, row, column, rows, columns,
                                        dx + column * e.channels + c);
    });
  }
}

}  // namespace

Backend::MaxPool2dForward CpuBackend::max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  const Extents e(x.shape(), options);
  const Shape y_shape = options.output_shape(x.shape());
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
    choose_streamed(is_streamed(static_cast<int64_t>(dx.bytes())), [&]<typename Streamed>(Streamed) {
      parallel_for(e.images * e.height, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t image = i / e.height * e.rows * e.columns * e.channels;
          gather_row<Streamed::value>(in + image, where + image, e, i % e.height,
                                      out + i * e.width * e.channels);
        }
        stream_fence();
      });
    });
  });
  return dx;
}

}  // namespace cytograd
