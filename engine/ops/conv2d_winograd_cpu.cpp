// A tile is 2x2 pixels of the result, from a patch of 4x4 pixels d: with g a 3x3 window,
//   y = A^T [(G g G^T) * (B^T d B)] A, * element by element and summed over input channels,
// which is a matrix product for each of the 16 elements: [tiles, I] x [I, O]. The gradient by x is the convolution of dy
// with the turned window; the gradient by g is the adjoint, G^T [sum over tiles of (A dy A^T) * (B^T d B)] G. With
//   B^T = 1  0 -1  0    G = 1    0   0     A^T = 1 1  1  0
//         0  1  1  0        1/2  1/2 1/2         0 1 -1 -1
//         0 -1  1  0        1/2 -1/2 1/2
//         0  1  0 -1        0    0   1
// all but the halves are exact; sums of four lose two bits at most beside the products' own rounding.
#include "engine/ops/conv2d_winograd_cpu.h"

#include <algorithm>
#include <array>

#include "engine/ops/panels_cpu.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_winograd {
namespace {

using panels::Direction;
using panels::divide_up;
using panels::kColumns;
using panels::kRows;

constexpr int64_t kElements = 16;  // of a transformed tile
constexpr int64_t kWindow = 3;
// Tiles that a thread takes at a time. Of 24, 48, 96 and 192: few enough that their transforms stay in its L2 cache, but
// not so few that the windows are fetched again and again. GFLOP/s forward on two cores of an AMD EPYC, counted as the
// direct convolution's, at 56x56x64: 179 205 171 168; 14x14x256: 227 247 191 173; 7x7x512: 121 143 120 150.
constexpr int64_t kTiles = 48;
// Floats between the 16 elements of a tile, so that they do not fall into one set of the L1 cache.
constexpr int64_t kGap = 16;
// Of dw: channels of a block on either side, and tiles at a time. Blocks of 64 and 96 tiles 156, 64 and 64 139, 128 and 64
// 136 at 56x56x64; 158, 148, 146 at 14x14x256.
constexpr int64_t kBlock = 64, kTilesAtOnce = 96;

template <int64_t kSide>
using Square = std::array<std::array<Lanes, kSide>, kSide>;

/// f on each column, then on each row: f maps kFrom values to kTo.
template <int64_t kTo, int64_t kFrom, typename F>
Square<kTo> both_ways(const Square<kFrom>& from, const F& f) {
  std::array<std::array<Lanes, kFrom>, kTo> down;
  unrolled<kFrom>([&](int j) {
    std::array<Lanes, kFrom> column;
    unrolled<kFrom>([&](int i) { column[i] = from[i][j]; });
    const std::array<Lanes, kTo> mapped = f(column);
    unrolled<kTo>([&](int i) { down[i][j] = mapped[i]; });
  });
  Square<kTo> to;
  unrolled<kTo>([&](int i) { to[i] = f(down[i]); });
  return to;
}

template <size_t kCount>
using Values = std::array<Lanes, kCount>;

constexpr auto patch_transform = [](const Values<4>& d) -> Values<4> {  // B^T
  return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]};
};
constexpr auto window_transform = [](const Values<3>& g) -> Values<4> {  // G
  const Lanes ends = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
  return {g[0], ends + middle, ends - middle, g[2]};
};
constexpr auto window_adjoint = [](const Values<4>& u) -> Values<3> {  // G^T
  const Lanes sum = 0.5f * (u[1] + u[2]);
  return {u[0] + sum, 0.5f * (u[1] - u[2]), sum + u[3]};
};
constexpr auto result_transform = [](const Values<4>& m) -> Values<2> {  // A^T
  return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]};
};
constexpr auto result_adjoint = [](const Values<2>& y) -> Values<4> {  // A
  return {y[0], y[0] + y[1], y[0] - y[1], -y[1]};
};

/// Images [N, H, W, C] and the squares of kSide pixels that tiles see of them: of tile (i, j) of an image, that from row
/// 2 i - margin, column 2 j - margin on. Pixels outside are 0, or not written.
template <int64_t kSide, typename Float>
struct Squares {
  /// `shape` of the images; `result` of what the tiles make up, [N, H', W', any].
  Squares(Float* images, const Shape& shape, int64_t margin_of_patch, const Shape& result)
      : data(images),
        height(shape[1]),
        width(shape[2]),
        channels(shape[3]),
        margin(margin_of_patch),
        down(divide_up(result[1], 2)),
        across(divide_up(result[2], 2)),
        tiles(result[0] * down * across) {}

  Float* data;
  int64_t height, width, channels;
  int64_t margin;
  int64_t down, across;  ///< tiles of an image
  int64_t tiles;         ///< of all images

  /// f(position in the square, address of the pixel's channels), null outside.
  template <typename F>
  void for_each_pixel(int64_t tile, const F& f) const {
    const int64_t image = tile / (down * across);
    const int64_t top = tile / across % down * 2 - margin;
    const int64_t left = tile % across * 2 - margin;
    for (int64_t i = 0; i < kSide; ++i) {
      for (int64_t j = 0; j < kSide; ++j) {
        const bool inside = top + i >= 0 && top + i < height && left + j >= 0 && left + j < width;
        f(i * kSide + j,
          inside ? data + ((image * height + top + i) * width + left + j) * channels : nullptr);
      }
    }
  }
};

/// Tiles [first, first + count), channels [channel, channel + channels).
struct Part {
  int64_t first, count, channel, channels;
};

/// Of a part's tiles [16, count, channels].
template <typename Float>
struct Transformed {
  Float* data;
  int64_t stride;  ///< floats from element to element

  /// Of the first element.
  Float* tile(const Part& part, int64_t number) const { return data + number * part.channels; }
};

/// What `transform` makes of a part's tile, of which all pixels are there if kWhole.
template <int64_t kSide, bool kWhole, typename F>
void transform_tile(const std::array<const float*, kSide * kSide>& pixels, const Part& part,
                    const F& transform, float* to, int64_t stride) {
  for (int64_t c = 0; c < part.channels; c += kLanes) {
    Square<kSide> square;
    unrolled<kSide * kSide>([&](int i) {
      const bool inside = kWhole || pixels[i] != nullptr;
      square[i / kSide][i % kSide] = inside ? load(pixels[i] + part.channel + c) : Lanes{};
    });
    const Square<4> result = both_ways<4, kSide>(square, transform);
    unrolled<kElements>([&](int k) { store(to + k * stride + c, result[k / 4][k % 4]); });
  }
}

/// What `transform` makes of the squares of a part.
template <int64_t kSide, typename F>
void transform_squares(const Squares<kSide, const float>& squares, const Part& part, const F& transform,
                       const Transformed<float>& transformed) {
  std::array<const float*, kSide * kSide> pixels{};
  for (int64_t t = 0; t < part.count; ++t) {
    bool whole = true;
    squares.for_each_pixel(part.first + t, [&](int64_t i, const float* pixel) {
      pixels[i] = pixel;
      whole = whole && pixel != nullptr;
    });
    float* to = transformed.tile(part, t);
    if (whole) {
      transform_tile<kSide, true>(pixels, part, transform, to, transformed.stride);
    } else {
      transform_tile<kSide, false>(pixels, part, transform, to, transformed.stride);
    }
  }
}

/// Writes the results of a part, of all channels, from its sums of products.
void write_results(const Squares<2, float>& squares, const Part& part, const Transformed<const float>& sums) {
  std::array<float*, 4> pixels{};
  for (int64_t t = 0; t < part.count; ++t) {
    squares.for_each_pixel(part.first + t, [&](int64_t i, float* pixel) { pixels[i] = pixel; });
    const float* from = sums.tile(part, t);
    for (int64_t c = 0; c < part.channels; c += kLanes) {
      Square<4> sum;
      unrolled<kElements>([&](int k) { sum[k / 4][k % 4] = load(from + k * sums.stride + c); });
      const Square<2> result = both_ways<2, 4>(sum, result_transform);
      unrolled<4>([&](int i) {
        if (pixels[i] != nullptr) store(pixels[i] + c, result[i / 2][i % 2]);
      });
    }
  }
}

/// Windows w [O, 3, 3, I] transformed, as panels [16, O / 16, I, 16]; to map O to I, turned by half a turn, as
/// [16, I / 16, O, 16].
Tensor transformed_windows(const Tensor& w, Direction direction) {
  const bool backward = direction == Direction::backward;
  const int64_t out = w.dim(0), in = w.dim(3);
  Tensor result = Tensor::empty({kElements, out, in});
  const float* from = w.data<float>();
  float* to = result.data<float>();
  parallel_for(out / kLanes, 1, [&](int64_t begin, int64_t end) {
    std::array<std::array<Lanes, kLanes>, kElements> elements;  // of 8 windows' 8 channels
    for (int64_t o = begin * kLanes; o < end * kLanes; o += kLanes) {
      for (int64_t c = 0; c < in; c += kLanes) {
        for (int64_t window = 0; window < kLanes; ++window) {
          Square<kWindow> g;
          for (int64_t i = 0; i < kWindow * kWindow; ++i) {
            const int64_t at = backward ? kWindow * kWindow - 1 - i : i;
            g[i / kWindow][i % kWindow] = load(from + ((o + window) * kWindow * kWindow + at) * in + c);
          }
          const Square<4> u = both_ways<4, kWindow>(g, window_transform);
          for (int64_t k = 0; k < kElements; ++k) elements[k][window] = u[k / 4][k % 4];
        }
        const int64_t row = backward ? o : c, column = backward ? c : o, rows = backward ? out : in;
        for (int64_t k = 0; k < kElements; ++k) {
          const std::array<Lanes, kLanes> block = backward ? elements[k] : panels::transposed(elements[k]);
          float* panel = to + k * out * in + (column / kColumns * rows + row) * kColumns + column % kColumns;
          for (int64_t i = 0; i < kLanes; ++i) store(panel + i * kColumns, block[i]);
        }
      }
    }
  });
  return result;
}

/// Convolves `from` [N, H, W, A], `padding` pixels around it, with transformed windows from A to B, to [N, H', W', B].
Tensor convolved(const Tensor& from, const Tensor& windows, int64_t padding, const Shape& shape) {
  const int64_t in = from.dim(3), out = shape[3];
  Tensor result = Tensor::empty(shape);
  const Squares<4, const float> patches(from.data<float>(), from.shape(), padding, shape);
  const Squares<2, float> tiles(result.data<float>(), shape, 0, shape);
  const int64_t all = tiles.tiles;
  const int64_t share = divide_up(all, std::max<int64_t>(divide_up(all, kTiles), cpu_threads()));
  const int64_t most = divide_up(share, kRows) * kRows;
  const int64_t tasks = divide_up(all, most);
  const int64_t v_stride = most * in + kGap, m_stride = most * out + kGap;
  Tensor workspace = Tensor::empty({task_workers(tasks), kElements * (v_stride + m_stride)});
  parallel_tasks(tasks, [&](int64_t worker, int64_t task) {
    const int64_t first = task * most, count = std::min(most, all - first);
    float* v = workspace.data<float>() + worker * kElements * (v_stride + m_stride);
    float* m = v + kElements * v_stride;
    transform_squares(patches, {first, count, 0, in}, patch_transform, {v, v_stride});
    for (int64_t k = 0; k < kElements; ++k) {
      multiply(panels::RowProduct{.rows = count,
                                  .columns = out,
                                  .depth = in,
                                  .a = v + k * v_stride,
                                  .a_stride = in,
                                  .panels = windows.data<float>() + k * in * out,
                                  .c = m + k * m_stride,
                                  .c_stride = out});
    }
    write_results(tiles, {first, count, 0, out}, {m, m_stride});
  });
  return result;
}

}  // namespace

bool possible(const Shape& w, const Conv2dOptions& options) {
  return w[1] == kWindow && w[2] == kWindow && options.stride == 1 && options.padding < kWindow &&
         w[0] % kColumns == 0 && w[3] % kColumns == 0;
}

Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const Shape shape{x.dim(0), options.output_extent(x.dim(1), kWindow),
                    options.output_extent(x.dim(2), kWindow), w.dim(0)};
  return convolved(x, transformed_windows(w, Direction::forward), options.padding, shape);
}

Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options) {
  return convolved(dy, transformed_windows(w, Direction::backward), kWindow - 1 - options.padding, x_shape);
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  const int64_t in = w_shape[3], out = w_shape[0];
  const Squares<4, const float> patches(x.data<float>(), x.shape(), options.padding, dy.shape());
  const Squares<2, const float> tiles(dy.data<float>(), dy.shape(), 0, dy.shape());
  const panels::SumTasks tasks({.rows = out,
                                .columns = in,
                                .terms = tiles.tiles,
                                .row_block = kBlock,
                                .column_block = kBlock,
                                .row_unit = kColumns,
                                .term_unit = kTilesAtOnce,
                                .c_floats = w_shape.elements()});
  Tensor sums = Tensor::empty({tasks.parts, w_shape.elements()});
  constexpr int64_t kStride = kTilesAtOnce * kBlock + kGap, kSumStride = kBlock * kBlock;
  constexpr int64_t kWorkspace = kElements * (2 * kStride + kSumStride);
  Tensor workspace = Tensor::empty({task_workers(tasks.count()), kWorkspace});
  parallel_tasks(tasks.count(), [&](int64_t worker, int64_t i) {
    const panels::SumTasks::Task task = tasks[i];
    float* v = workspace.data<float>() + worker * kWorkspace;
    float* m = v + kElements * kStride;
    float* u = m + kElements * kStride;
    for (int64_t first = task.begin; first < task.end; first += kTilesAtOnce) {
      const int64_t count = std::min(kTilesAtOnce, task.end - first);
      transform_squares(patches, {first, count, task.column, task.columns}, patch_transform, {v, kStride});
      transform_squares(tiles, {first, count, task.row, task.rows}, result_adjoint, {m, kStride});
      for (int64_t k = 0; k < kElements; ++k) {
        multiply(panels::TransposedProduct{.rows = task.rows,
                                           .columns = task.columns,
                                           .depth = count,
                                           .a = m + k * kStride,
                                           .a_strip = kRows,
                                           .a_stride = task.rows,
                                           .b = v + k * kStride,
                                           .b_panel = kColumns,
                                           .b_stride = task.columns,
                                           .c = u + k * kSumStride,
                                           .c_stride = task.columns,
                                           .accumulate = first > task.begin});
      }
    }
    float* to = sums.data<float>() + task.part * w_shape.elements();
    for (int64_t row = 0; row < task.rows; ++row) {
      for (int64_t c = 0; c < task.columns; c += kLanes) {
        Square<4> sum;
        for (int64_t k = 0; k < kElements; ++k)
          sum[k / 4][k % 4] = load(u + k * kSumStride + row * task.columns + c);
        const Square<kWindow> g = both_ways<kWindow, 4>(sum, window_adjoint);
        for (int64_t k = 0; k < kWindow * kWindow; ++k)
          store(to + ((task.row + row) * kWindow * kWindow + k) * in + task.column + c,
                g[k / kWindow][k % kWindow]);
      }
    }
  });
  return panels::sum_of_parts(sums).reshape(w_shape);
}

}  // namespace cytograd::conv2d_winograd
