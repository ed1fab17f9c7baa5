// dw[o, u, v, i] = sum over output pixels p of dy[p, o] x[q(p, u, v), i], a matrix product whose sums run down the
// pixels: some at a time are copied into the order they are read in. Channels of the taps of a window row lie side by
// side in x, so that of few channels a whole row's are taken together: with a first layer's 6 channels and 7 taps 42 of
// 48 columns.
#include <algorithm>
#include <array>

#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/panels_cpu.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_product {
namespace {

using panels::divide_up;
using panels::kColumns;
using panels::kRows;

// Pixels that are copied at a time, and channels of a block on either side.
constexpr int64_t kPixelsAtOnce = 256, kBlock = 256;

/// Taps of a run, side by side in x: a window row's, if they are few channels.
int64_t run_width(const Shape& w) { return w[2] * w[3] <= kBlock ? w[2] : 1; }

/// Floats of a run, and as columns.
int64_t run_floats(const Shape& w) { return run_width(w) * w[3]; }
int64_t run_columns(const Shape& w) { return divide_up(run_floats(w), kColumns) * kColumns; }

struct Run {
  int64_t u, v;           ///< its first tap
  int64_t offset, count;  ///< floats that are wanted of it; past its end they may be anything
};

/// A pixel of the result, on its way through all of them.
struct Pixel {
  Pixel(int64_t number, const Shape& y)
      : image(number / (y[1] * y[2])), row(number / y[2] % y[1]), column(number % y[2]) {}
  void advance(const Shape& y) {
    if (++column < y[2]) return;
    column = 0;
    if (++row < y[1]) return;
    row = 0;
    ++image;
  }

  int64_t image, row, column;
};

/// What of x lies under the pixels of the result.
struct Source {
  const float* x;
  Shape x_shape, w;
  Conv2dOptions options;

  /// The run under a pixel: in place, or put together in `edge` where some taps are outside the image; null where all
  /// are.
  const float* under(const Pixel& pixel, const Run& run, float* edge) const {
    const int64_t in = x_shape[3], width = run_width(w);
    const int64_t row = pixel.row * options.stride - options.padding + run.u;
    const int64_t left = pixel.column * options.stride - options.padding + run.v;
    const int64_t first = std::max<int64_t>(0, -left), last = std::min(width, x_shape[2] - left);
    if (row < 0 || row >= x_shape[1] || first >= last) return nullptr;
    const int64_t start = ((pixel.image * x_shape[1] + row) * x_shape[2] + left) * in;
    const bool whole = first == 0 && last == width;
    if (whole && start + run.offset + run.count <= x_shape.elements()) return x + (start + run.offset);
    const int64_t begin = std::max(first * in, run.offset), end = std::min(last * in, run.offset + run.count);
    std::fill_n(edge, run.count, 0.0f);
    if (begin < end) std::copy(x + (start + begin), x + (start + end), edge + (begin - run.offset));
    return edge;
  }
};

}  // namespace

double weight_efficiency(const Shape& w) {
  return static_cast<double>(run_floats(w)) / static_cast<double>(run_columns(w));
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  const int64_t out = w_shape[0], width = run_width(w_shape), columns = run_columns(w_shape);
  const int64_t runs_of_row = w_shape[2] / width, runs = w_shape[1] * runs_of_row;
  const Source source{x.data<float>(), x.shape(), w_shape, options};
  const Shape& y_shape = dy.shape();
  const panels::SumTasks tasks({.rows = out,
                                .columns = columns,
                                .terms = dy.elements() / out,
                                .row_block = kBlock,
                                .column_block = kBlock,
                                .row_unit = kRows,
                                .term_unit = kPixelsAtOnce,
                                .c_floats = out * runs * columns});
  Tensor sums = Tensor::empty({tasks.parts, out * runs * columns});  // each [O, KH, runs of a row, columns]
  const int64_t strips_size = divide_up(tasks.row_block, kRows) * panels::strip_stride(kPixelsAtOnce);
  const int64_t panels_size = tasks.column_block / kColumns * panels::panel_stride(kPixelsAtOnce);
  const int64_t workspace_size = strips_size + panels_size + kPixelsAtOnce * tasks.column_block;
  Tensor workspace = Tensor::empty({task_workers(tasks.count()), workspace_size});
  const float* dys = dy.data<float>();
  // While a task's last run is multiplied, the pixels from `next` on come into the caches, a share for each `column`.
  const auto prefetch_next = [&](int64_t next, int64_t column, const auto& task, float* edges) {
    const int64_t left = std::min(kPixelsAtOnce, task.end - next);
    const int64_t begin = left * column / task.columns, end = left * (column + kColumns) / task.columns;
    Pixel ahead(next + begin, y_shape);
    for (int64_t k = begin; k < end; ++k, ahead.advance(y_shape)) {
      panels::prefetch(dys + (next + k) * out + task.row, task.rows);
      panels::prefetch(source.under(ahead, {0, 0, task.column, task.columns}, edges), task.columns);
    }
  };
  parallel_tasks(tasks.count(), [&](int64_t worker, int64_t i) {
    const panels::SumTasks::Task task = tasks[i];
    float* sum = sums.data<float>() + (task.part * out + task.row) * runs * columns + task.column;
    float* strips = workspace.data<float>() + worker * workspace_size;
    float* packed = strips + strips_size;
    float* edges = packed + panels_size;
    std::array<const float*, kPixelsAtOnce> pointers{};
    for (int64_t first = task.begin; first < task.end; first += kPixelsAtOnce) {
      const int64_t depth = std::min(kPixelsAtOnce, task.end - first);
      for (int64_t k = 0; k < depth; ++k) pointers[k] = dys + (first + k) * out + task.row;
      panels::pack_strips(pointers.data(), depth, task.rows, strips);
      for (int64_t r = 0; r < runs; ++r) {
        const Run run{r / runs_of_row, r % runs_of_row * width, task.column, task.columns};
        Pixel pixel(first, y_shape);
        for (int64_t k = 0; k < depth; ++k, pixel.advance(y_shape))
          pointers[k] = source.under(pixel, run, edges + k * task.columns);
        panels::pack_panels(pointers.data(), depth, task.columns, packed);
        for (int64_t column = 0; column < task.columns; column += kColumns) {
          if (r + 1 == runs) prefetch_next(first + depth, column, task, edges);
          multiply(panels::TransposedProduct{.rows = task.rows,
                                             .columns = kColumns,
                                             .depth = depth,
                                             .a = strips,
                                             .a_strip = panels::strip_stride(depth),
                                             .a_stride = kRows,
                                             .b = packed + column / kColumns * panels::panel_stride(depth),
                                             .b_stride = kColumns,
                                             .c = sum + r * columns + column,
                                             .c_stride = runs * columns,
                                             .accumulate = first > task.begin});
        }
      }
    }
  });
  const Tensor sum = panels::sum_of_parts(sums);
  const int64_t floats = run_floats(w_shape);
  if (columns == floats) return sum.reshape(w_shape);
  Tensor dw = Tensor::empty(w_shape);
  for (int64_t r = 0; r < out * runs; ++r) {
    const float* from = sum.data<float>() + r * columns;
    std::copy(from, from + floats, dw.data<float>() + r * floats);
  }
  return dw;
}

}  // namespace cytograd::conv2d_product
