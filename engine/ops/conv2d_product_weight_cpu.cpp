// dw[o, u, v, i] = sum over output pixels p of dy[p, o] x[q(p, u, v), i], a matrix product whose sums run down the pixels:
// some at a time are copied into the order they are read in. Channels of the taps of a window row lie side by side in x,
// so that of few channels a whole row's are taken together: with a first layer's 6 channels and 7 taps 42 of 48 columns.
#include <algorithm>
#include <array>

#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/panels_cpu.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_product {
namespace {

using panels::divide_up;
using panels::even_part;
using panels::kColumns;
using panels::kRows;

// Pixels that are copied at a time, and channels of a block on either side.
constexpr int64_t kPixelsAtOnce = 256, kBlock = 256;
constexpr int64_t kTasksWanted = 32;  // for threads to share; fixed, so that no sum depends on their number

/// What of x lies under the pixels of the result, in runs of `width` taps side by side.
struct Runs {
  const float* x;
  Shape x_shape;
  int64_t height, width_of_result;  ///< the result's rows and columns
  Conv2dOptions options;
  int64_t width;   ///< taps
  int64_t floats;  ///< width * I

  /// Floats [offset, offset + count) of the run that begins at tap (u, v) under pixel p: in place, or put together in
  /// `edge` where some taps are outside the image; null where all are. Past the run's end they may be anything.
  const float* under(int64_t p, int64_t u, int64_t v, int64_t offset, int64_t count, float* edge) const {
    const int64_t in = x_shape[3];
    const int64_t image = p / (height * width_of_result);
    const int64_t row = p / width_of_result % height * options.stride - options.padding + u;
    const int64_t left = p % width_of_result * options.stride - options.padding + v;
    const int64_t first = std::max<int64_t>(0, -left), last = std::min(width, x_shape[2] - left);
    if (row < 0 || row >= x_shape[1] || first >= last) return nullptr;
    const int64_t start = ((image * x_shape[1] + row) * x_shape[2] + left) * in;
    if (first == 0 && last == width && start + offset + count <= x_shape.elements())
      return x + start + offset;
    const int64_t begin = std::max(first * in, offset), end = std::min(last * in, offset + count);
    std::fill_n(edge, count, 0.0f);
    if (begin < end) std::copy(x + start + begin, x + start + end, edge + begin - offset);
    return edge;
  }
};

/// Taps of a run: a window row's, if they are few channels.
int64_t run_width(const Shape& w) { return w[2] * w[3] <= kBlock ? w[2] : 1; }

int64_t padded(int64_t floats) { return divide_up(floats, kColumns) * kColumns; }

}  // namespace

double weight_efficiency(const Shape& w) {
  const int64_t floats = run_width(w) * w[3];
  return static_cast<double>(floats) / static_cast<double>(padded(floats));
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  const int64_t out = w_shape[0], in = w_shape[3];
  const int64_t width = run_width(w_shape);
  const Runs runs{x.data<float>(), x.shape(), dy.dim(1), dy.dim(2), options, width, width * in};
  const int64_t runs_of_row = w_shape[2] / width, run_count = w_shape[1] * runs_of_row;
  const int64_t all_columns = padded(runs.floats);
  const int64_t sums_size = out * run_count * all_columns;
  const int64_t pixels = dy.elements() / out;
  const int64_t out_block = even_part(out, kBlock, kRows),
                in_block = even_part(all_columns, kBlock, kColumns);
  const int64_t out_blocks = divide_up(out, out_block), in_blocks = divide_up(all_columns, in_block);
  // Few blocks: several sums over parts of the pixels, added in the end.
  const int64_t parts_wanted = divide_up(kTasksWanted, out_blocks * in_blocks);
  const int64_t part =
      std::max(even_part(pixels, divide_up(pixels, parts_wanted), kPixelsAtOnce), 4 * kPixelsAtOnce);
  const int64_t parts = divide_up(pixels, part);
  const int64_t tasks = parts * out_blocks * in_blocks;
  Tensor sums = Tensor::empty({parts, sums_size});  // each [O, KH, runs of a row, all_columns]
  const int64_t strips_size = divide_up(out_block, kRows) * panels::strip_stride(kPixelsAtOnce);
  const int64_t panels_size = in_block / kColumns * panels::panel_stride(kPixelsAtOnce);
  const int64_t workspace_size = strips_size + panels_size + kPixelsAtOnce * in_block;
  Tensor workspace = Tensor::empty({task_workers(tasks), workspace_size});
  const float* dys = dy.data<float>();
  parallel_tasks(tasks, [&](int64_t worker, int64_t task) {
    const int64_t o = task % out_blocks * out_block, i = task / out_blocks % in_blocks * in_block;
    const int64_t which = task / (out_blocks * in_blocks);
    const int64_t rows = std::min(out_block, out - o), columns = std::min(in_block, all_columns - i);
    float* sum = sums.data<float>() + which * sums_size + o * run_count * all_columns + i;
    float* strips = workspace.data<float>() + worker * workspace_size;
    float* packed = strips + strips_size;
    float* edges = packed + panels_size;
    const int64_t begin = which * part, end = std::min(pixels, begin + part);
    std::array<const float*, kPixelsAtOnce> pointers{};
    for (int64_t first = begin; first < end; first += kPixelsAtOnce) {
      const int64_t depth = std::min(kPixelsAtOnce, end - first);
      for (int64_t k = 0; k < depth; ++k) pointers[k] = dys + (first + k) * out + o;
      panels::pack_strips(pointers.data(), depth, rows, strips);
      for (int64_t run = 0; run < run_count; ++run) {
        const int64_t u = run / runs_of_row, v = run % runs_of_row * width;
        for (int64_t k = 0; k < depth; ++k)
          pointers[k] = runs.under(first + k, u, v, i, columns, edges + k * columns);
        panels::pack_panels(pointers.data(), depth, columns, packed);
        for (int64_t column = 0; column < columns; column += kColumns) {
          if (run + 1 == run_count) {  // the next pixels come into the caches meanwhile
            const int64_t next = first + depth, left = std::min(kPixelsAtOnce, end - next);
            for (int64_t k = left * column / columns; k < left * (column + kColumns) / columns; ++k) {
              panels::prefetch(dys + (next + k) * out + o, rows);
              panels::prefetch(runs.under(next + k, 0, 0, i, columns, edges), columns);
            }
          }
          multiply(panels::TransposedProduct{.rows = rows,
                                             .columns = kColumns,
                                             .depth = depth,
                                             .a = strips,
                                             .a_strip = panels::strip_stride(depth),
                                             .a_stride = kRows,
                                             .b = packed + column / kColumns * panels::panel_stride(depth),
                                             .b_stride = kColumns,
                                             .c = sum + run * all_columns + column,
                                             .c_stride = run_count * all_columns,
                                             .accumulate = first > begin});
        }
      }
    }
  });
  const Tensor sum = panels::sum_of_parts(sums);
  if (all_columns == runs.floats) return sum.reshape(w_shape);
  Tensor dw = Tensor::empty(w_shape);
  for (int64_t r = 0; r < out * run_count; ++r) {
    const float* from = sum.data<float>() + r * all_columns;
    std::copy(from, from + runs.floats, dw.data<float>() + r * runs.floats);
  }
  return dw;
}

}  // namespace cytograd::conv2d_product
