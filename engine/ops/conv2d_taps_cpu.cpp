// y[n, p, :] = sum over taps t inside the image of x[n, q(p, t), :] w[:, t, :]^T, for an output pixel p and the
// input pixel q under its tap t. For one p and t, x and y are matrices whose rows are the images of the batch,
// one image apart, so each term is a matrix product in place: nothing is copied and no product with padding is
// computed. On a 2x2 image a padded 3x3 window has 4 of 9 taps inside, on 4x4 about 6 of 9.
#include "engine/ops/conv2d_taps_cpu.h"

#include <algorithm>

#include "engine/onednn.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_taps {
namespace {

// Extents and strides, in floats, of the three tensors.
struct Geometry {
  Geometry(const Shape& x, const Shape& w, const Conv2dOptions& options)
      : batch(x[0]),
        height(x[1]),
        width(x[2]),
        in(x[3]),
        out(w[0]),
        window_height(w[1]),
        window_width(w[2]),
        stride(options.stride),
        padding(options.padding),
        result_height(options.output_extent(height, window_height)),
        result_width(options.output_extent(width, window_width)),
        x_stride(height * width * in),
        y_stride(result_height * result_width * out),
        w_stride(window_height * window_width * in) {}

  int64_t batch, height, width, in, out, window_height, window_width, stride, padding;
  int64_t result_height, result_width;
  int64_t x_stride, y_stride, w_stride;  // from image to image, and from output channel to output channel
};

// Calls body(item, begin, end) for every item in [0, items) and every slice of [0, channels): slices only
// where there are too few items for the threads, and none under 64 wide, where a product's efficiency drops.
// Dynamic, because border items have fewer taps; each result element belongs to one call, so the order of
// calls changes nothing.
template <typename Body>
void for_each_slice(int64_t items, int64_t channels, const Body& body) {
  const int64_t threads = cpu_threads();
  int64_t slices = 1;
  while (threads > 1 && items * slices < 4 * threads && channels / (2 * slices) >= 64) slices *= 2;
  bool done = true;
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : done)
  for (int64_t i = 0; i < items * slices; ++i) {
    const int64_t slice = i % slices;
    const bool ok = body(i / slices, channels * slice / slices, channels * (slice + 1) / slices);
    done = done && ok;
  }
  if (!done) fail("out of memory in a matrix product of the convolution");
}

}  // namespace

Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const Geometry g(x.shape(), w.shape(), options);
  Tensor y = Tensor::empty({g.batch, g.result_height, g.result_width, g.out});  // [N, H', W', O]
  const float* xs = x.data<float>();
  const float* ws = w.data<float>();
  float* ys = y.data<float>();
  for_each_slice(g.result_height * g.result_width, g.out, [&](int64_t pixel, int64_t begin, int64_t end) {
    const int64_t top = pixel / g.result_width * g.stride - g.padding;
    const int64_t left = pixel % g.result_width * g.stride - g.padding;
    // Taps of a window row lie side by side in x and in w: one product takes them all.
    const int64_t first = std::max<int64_t>(0, -left);
    const int64_t last = std::min(g.window_width, g.width - left);
    bool ok = true;
    bool accumulate = false;
    for (int64_t row = 0; row < g.window_height; ++row) {
      if (top + row < 0 || top + row >= g.height || first >= last) continue;
      ok = sgemm({.m = g.batch,
                  .n = end - begin,
                  .k = (last - first) * g.in,
                  .a = xs + ((top + row) * g.width + left + first) * g.in,
                  .a_stride = g.x_stride,
                  .b = ws + begin * g.w_stride + (row * g.window_width + first) * g.in,
                  .b_stride = g.w_stride,
                  .transpose_b = true,
                  .c = ys + pixel * g.out + begin,
                  .c_stride = g.y_stride,
                  .accumulate = accumulate}) &&
           ok;
      accumulate = true;
    }
    for (int64_t n = 0; n < g.batch && !accumulate; ++n)  // a window wholly in the padding
      std::fill_n(ys + n * g.y_stride + pixel * g.out + begin, end - begin, 0.0f);
    return ok;
  });
  return y;
}

Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options) {
  const Geometry g(x_shape, w.shape(), options);
  Tensor dx = Tensor::empty(x_shape);  // [N, H, W, I]
  const float* dys = dy.data<float>();
  const float* ws = w.data<float>();
  float* dxs = dx.data<float>();
  for_each_slice(g.height * g.width, g.in, [&](int64_t pixel, int64_t begin, int64_t end) {
    bool ok = true;
    bool accumulate = false;
    for (int64_t tap = 0; tap < g.window_height * g.window_width; ++tap) {
      const int64_t row = pixel / g.width + g.padding - tap / g.window_width;  // times the stride, in y
      const int64_t column = pixel % g.width + g.padding - tap % g.window_width;
      if (row < 0 || column < 0 || row % g.stride != 0 || column % g.stride != 0) continue;
      if (row / g.stride >= g.result_height || column / g.stride >= g.result_width) continue;
      ok = sgemm({.m = g.batch,
                  .n = end - begin,
                  .k = g.out,
                  .a = dys + (row / g.stride * g.result_width + column / g.stride) * g.out,
                  .a_stride = g.y_stride,
                  .b = ws + tap * g.in + begin,
                  .b_stride = g.w_stride,
                  .c = dxs + pixel * g.in + begin,
                  .c_stride = g.x_stride,
                  .accumulate = accumulate}) &&
           ok;
      accumulate = true;
    }
    for (int64_t n = 0; n < g.batch && !accumulate; ++n)  // the stride steps over this pixel
      std::fill_n(dxs + n * g.x_stride + pixel * g.in + begin, end - begin, 0.0f);
    return ok;
  });
  return dx;
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  const Geometry g(x.shape(), w_shape, options);
  Tensor dw = Tensor::empty(w_shape);  // [O, KH, KW, I]
  const float* dys = dy.data<float>();
  const float* xs = x.data<float>();
  float* dws = dw.data<float>();
  for_each_slice(g.window_height * g.window_width, g.out, [&](int64_t tap, int64_t begin, int64_t end) {
    bool ok = true;
    bool accumulate = false;
    for (int64_t pixel = 0; pixel < g.result_height * g.result_width; ++pixel) {
      const int64_t row = pixel / g.result_width * g.stride - g.padding + tap / g.window_width;
      const int64_t column = pixel % g.result_width * g.stride - g.padding + tap % g.window_width;
      if (row < 0 || column < 0 || row >= g.height || column >= g.width) continue;
      ok = sgemm({.m = end - begin,
                  .n = g.in,
                  .k = g.batch,
                  .a = dys + pixel * g.out + begin,
                  .a_stride = g.y_stride,
                  .transpose_a = true,
                  .b = xs + (row * g.width + column) * g.in,
                  .b_stride = g.x_stride,
                  .c = dws + begin * g.w_stride + tap * g.in,
                  .c_stride = g.w_stride,
                  .accumulate = accumulate}) &&
           ok;
      accumulate = true;
    }
    for (int64_t o = begin; o < end && !accumulate; ++o)  // a tap that only ever meets padding
      std::fill_n(dws + o * g.w_stride + tap * g.in, g.in, 0.0f);
    return ok;
  });
  return dw;
}

}  // namespace cytograd::conv2d_taps
