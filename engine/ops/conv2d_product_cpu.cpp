// y[p] = sum over taps t of w[t] x[q(p, t)], for an output pixel p and the input pixel q under its tap t: a matrix
// product whose left rows are pixels where they lie, a row of zeros outside the image, so that nothing is copied but
// the windows. dx likewise: pixels of x whose coordinates leave the same remainders by the stride are under the same
// taps. Bound by the 2 x 8 multiplications a cycle of AVX2, but for 1x1 windows of few channels, bound by memory.
#include "engine/ops/conv2d_product_cpu.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/constant_weights.h"
#include "engine/ops/panels_cpu.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_product {
namespace {

using panels::Direction;
using panels::divide_up;
using panels::even_part;
using panels::kColumns;
using panels::kRows;

constexpr int64_t kDepth = 512;    // products that a sum in registers runs over: a panel of them is 32 KiB
constexpr int64_t kTaskRows = 96;  // pixels: with kDepth channels of each 192 KiB
constexpr int64_t kMostTaps = 9;   // of a group that a sum in registers runs over

struct Tap {
  int64_t index;         ///< in the window
  int64_t down, across;  ///< of the source pixel, from `source_step` times the grid's coordinates
};

/// Pixels of a result whose taps are alike: rows i and columns j of the grid are the result's pixels
/// (i result_step + top, j result_step + left).
struct Grid {
  int64_t height, width;
  int64_t result_step, top, left;
  int64_t source_step;
  std::vector<Tap> taps;
};

Grid output_grid(const Shape& y, const Shape& w, const Conv2dOptions& options) {
  Grid grid{y[1], y[2], 1, 0, 0, options.stride, {}};
  for (int64_t u = 0; u < w[1]; ++u) {
    for (int64_t v = 0; v < w[2]; ++v)
      grid.taps.push_back({u * w[2] + v, u - options.padding, v - options.padding});
  }
  return grid;
}

/// Of x's pixels those that leave the same remainders by the stride: one of stride * stride grids.
Grid input_grid(const Shape& x, const Shape& w, const Conv2dOptions& options, int64_t which) {
  const int64_t stride = options.stride, top = which / stride, left = which % stride;
  Grid grid{divide_up(x[1] - top, stride), divide_up(x[2] - left, stride), stride, top, left, 1, {}};
  for (int64_t u = 0; u < w[1]; ++u) {
    for (int64_t v = 0; v < w[2]; ++v) {
      const int64_t down = top + options.padding - u, across = left + options.padding - v;
      if (down % stride == 0 && across % stride == 0)
        grid.taps.push_back({u * w[2] + v, down / stride, across / stride});
    }
  }
  return grid;
}

struct Images {
  const float* data;
  Shape shape;  ///< [N, H, W, C]
  const float* outside;

  const float* pixel(int64_t image, int64_t row, int64_t column) const {
    if (row < 0 || row >= shape[1] || column < 0 || column >= shape[2]) return outside;
    return data + ((image * shape[1] + row) * shape[2] + column) * shape[3];
  }
};

/// Windows as panels, in the order they are read in: for each block of source channels, for each group of taps,
/// [result channels / 16, taps, source channels, 16].
struct Windows {
  int64_t depth;  ///< source channels of a block
  int64_t group;  ///< taps of a group
  Tensor panels;
};

/// The panels of w [O, KH, KW, I] in blocks of `depth` channels and groups of `group` taps.
Tensor packed_panels(const Tensor& w, const Grid& grid, Direction direction, int64_t depth, int64_t group) {
  const bool backward = direction == Direction::backward;
  const int64_t in = w.dim(3), window = w.dim(1) * w.dim(2);
  const int64_t from = backward ? w.dim(0) : in, to = backward ? in : w.dim(0);
  const auto taps = static_cast<int64_t>(grid.taps.size());
  Tensor result = Tensor::empty({taps * from * to});
  const float* source = w.data<float>();
  float* destination = result.data<float>();
  parallel_for(to / kColumns, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t first = t / group * group, grouped = std::min(group, taps - first);
        for (int64_t c = 0; c < from; c += depth) {
          const int64_t size = std::min(depth, from - c);
          float* at = destination + c * taps * to + first * size * to +
                      (panel * grouped + t - first) * size * kColumns;
          const float* tap = source + grid.taps[t].index * in;
          if (backward) {
            panels::pack_panel(tap + c * window * in + panel * kColumns, window * in, size, at);
          } else {
            panels::pack_transposed_panel(tap + panel * kColumns * window * in + c, window * in, size, at);
          }
        }
      }
    }
  });
  return result;
}

Windows packed(const Tensor& w, const Grid& grid, Direction direction) {
  const bool backward = direction == Direction::backward;
  const auto taps = static_cast<int64_t>(grid.taps.size());
  const int64_t depth = even_part(w.dim(backward ? 0 : 3), kDepth, kLanes);
  const int64_t group = even_part(taps, std::clamp<int64_t>(kDepth / depth, 1, kMostTaps), 1);
  const auto pack = [&] { return packed_panels(w, grid, direction, depth, group); };
  // Of a pass forward, whose grid has all taps.
  return {depth, group, backward ? pack() : ConstantWeights::made_of(w, WeightForm::panels, pack)};
}

struct Convolution {
  const Tensor& source;  ///< [N, H, W, channels]
  const Tensor& w;       ///< [O, KH, KW, I]
  Direction direction;
  Tensor& result;
};

/// Fills the grid's pixels of the result from those of the source under its taps.
void convolve(const Grid& grid, const Convolution& c) {
  const Shape& to_shape = c.result.shape();
  const int64_t from = c.source.dim(3), to = to_shape[3];
  const auto taps = static_cast<int64_t>(grid.taps.size());
  const Windows windows = packed(c.w, grid, c.direction);
  const Tensor zeros = Tensor::zeros({from});
  const Images images{c.source.data<float>(), c.source.shape(), zeros.data<float>()};
  float* results = c.result.data<float>();
  const float* all_panels = windows.panels.data<float>();
  const int64_t all = to_shape[0] * grid.height * grid.width;
  const int64_t row_tasks = divide_up(all, kTaskRows);
  // Where there are few pixels, threads divide the columns too, down to about 64.
  const int64_t column_tasks = std::clamp<int64_t>(2 * cpu_threads() / row_tasks, 1, divide_up(to, 64));
  const int64_t columns = even_part(to, divide_up(to, column_tasks), kColumns);
  parallel_tasks(row_tasks * divide_up(to, columns), [&](int64_t, int64_t task) {
    const int64_t first_row = task % row_tasks * kTaskRows, first_column = task / row_tasks * columns;
    const int64_t rows = std::min(kTaskRows, all - first_row);
    std::array<float*, kTaskRows> rows_of_c{};
    std::array<const float*, kTaskRows * kMostTaps> a{};
    for (int64_t first = 0; first < taps; first += windows.group) {
      const int64_t grouped = std::min(windows.group, taps - first);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t p = first_row + r;
        const int64_t i = p / grid.width % grid.height, j = p % grid.width,
                      image = p / (grid.height * grid.width);
        rows_of_c[r] = results + ((image * to_shape[1] + i * grid.result_step + grid.top) * to_shape[2] +
                                  j * grid.result_step + grid.left) *
                                     to;
        for (int64_t t = 0; t < grouped; ++t) {
          const Tap& tap = grid.taps[first + t];
          a[(r / kRows * grouped + t) * kRows + r % kRows] =
              images.pixel(image, i * grid.source_step + tap.down, j * grid.source_step + tap.across);
        }
      }
      for (int64_t channel = 0; channel < from; channel += windows.depth) {
        const int64_t depth = std::min(windows.depth, from - channel);
        multiply(panels::GatheredProduct{
            .rows = rows,
            .columns = std::min(columns, to - first_column),
            .segments = grouped,
            .depth = depth,
            .a = a.data(),
            .a_offset = channel,
            .panels = all_panels + channel * taps * to + first * depth * to + first_column * grouped * depth,
            .c = rows_of_c.data(),
            .c_offset = first_column,
            .accumulate = first > 0 || channel > 0});
      }
    }
  });
}

}  // namespace

bool possible(const Shape& w) { return w[0] % kColumns == 0 && w[3] % kColumns == 0; }

Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  Tensor y = Tensor::empty(options.output_shape(x.shape(), w.shape()));  // [N, H', W', O]
  convolve(output_grid(y.shape(), w.shape(), options),
           {.source = x, .w = w, .direction = Direction::forward, .result = y});
  return y;
}

Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options) {
  std::vector<Grid> grids;
  for (int64_t which = 0; which < options.stride * options.stride; ++which)
    grids.push_back(input_grid(x_shape, w.shape(), options, which));
  const bool covered = std::all_of(grids.begin(), grids.end(), [](const Grid& g) { return !g.taps.empty(); });
  Tensor dx = covered ? Tensor::empty(x_shape) : Tensor::zeros(x_shape);  // [N, H, W, I]
  for (const Grid& grid : grids) {
    if (!grid.taps.empty() && grid.height > 0 && grid.width > 0)
      convolve(grid, {.source = dy, .w = w, .direction = Direction::backward, .result = dx});
  }
  return dx;
}

}  // namespace cytograd::conv2d_product
