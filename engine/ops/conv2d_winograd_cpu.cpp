// A tile is m x m pixels of the result, from a patch d of (m + 2) x (m + 2) pixels; with g a 3x3 window,
//   y = A^T [(G g G^T) * (B^T d B)] A, * element by element and summed over input channels,
// which is a matrix product for each of the (m + 2)^2 elements: [tiles, I] x [I, O]. The gradient by x is the
// convolution of dy with the turned window; the gradient by g is the adjoint,
//   G^T [sum over tiles of (A dy A^T) * (B^T d B)] G.
#include "engine/ops/conv2d_winograd_cpu.h"

#include <algorithm>
#include <array>

#include "engine/constant_weights.h"
#include "engine/ops/panels_cpu.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_winograd {
namespace {

using panels::Direction;
using panels::divide_up;
using panels::kColumns;
using panels::kRows;

constexpr int64_t kWindow = 3;
// Floats between the elements of a tile, so that they do not fall into one set of the L1 cache.
constexpr int64_t kGap = 16;
// Of dw: channels of a block on either side, and tiles at a time. Small tiles in blocks of 64 and 96 tiles 156, 64 and
// 64 139, 128 and 64 136 at 56x56x64; 158, 148, 146 at 14x14x256. Large ones in blocks of 64 and 96 404, 64 and 24 363,
// 32 and 96 248.
constexpr int64_t kBlock = 64, kTilesAtOnce = 96;
// To transform windows and to fetch them costs about as much as the products of so many tiles more.
constexpr int64_t kTilesOfWindows = 64;

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

/// F(2x2, 3x3), by the points 0, 1, -1 and infinity:
///   B^T = 1  0 -1  0    G = 1    0   0     A^T = 1 1  1  0
///         0  1  1  0        1/2  1/2 1/2         0 1 -1 -1
///         0 -1  1  0        1/2 -1/2 1/2
///         0  1  0 -1        0    0   1
/// All but the halves are exact; sums of four lose two bits at most beside the products' own rounding.
struct SmallTile {
  static constexpr int64_t kSide = 2, kPatch = kSide + kWindow - 1, kElements = kPatch * kPatch;
  static constexpr WeightForm kForm = WeightForm::winograd_2;
  // That a thread takes at a time. Of 24, 48, 96 and 192: few enough that their transforms stay in its L2 cache, but
  // not so few that the windows are fetched again and again. GFLOP/s forward on two cores of an AMD EPYC, counted as
  // the direct convolution's, at 56x56x64: 179 205 171 168; 14x14x256: 227 247 191 173; 7x7x512: 121 143 120 150.
  static constexpr int64_t kTiles = 48;

  static Values<4> patch(const Values<4>& d) {  // B^T
    return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]};
  }
  static Values<4> window(const Values<3>& g) {  // G
    const Lanes ends = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
    return {g[0], ends + middle, ends - middle, g[2]};
  }
  static Values<3> window_adjoint(const Values<4>& u) {  // G^T
    const Lanes sum = 0.5f * (u[1] + u[2]);
    return {u[0] + sum, 0.5f * (u[1] - u[2]), sum + u[3]};
  }
  static Values<2> result(const Values<4>& m) {  // A^T
    return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]};
  }
  static Values<4> result_adjoint(const Values<2>& y) {  // A
    return {y[0], y[0] + y[1], y[0] - y[1], -y[1]};
  }
};

/// F(4x4, 3x3), by the points 0, p, -p, q, -q and infinity:
///   B^T = ppqq  0    -pp-qq  0      1 0   G = 1/ppqq      A^T = 1 1   1   1   1   0
///         0    -pqq  -qq     p      1 0       [1  p pp]/P       0 p  -p   q  -q   0
///         0     pqq  -qq    -p      1 0       [1 -p pp]/P       0 pp  pp  qq  qq  0
///         0    -ppq  -pp     q      1 0       [1  q qq]/Q       0 ppp -ppp qqq -qqq 1
///         0     ppq  -pp    -q      1 0       [1 -q qq]/Q
///         0     ppqq  0     -pp-qq  0 1       0  0  1        P = 2pp(pp - qq), Q = 2qq(qq - pp)
/// p = 3/4 and q = 3/2, so that entries of B and A are floats, near enough to 1: sums of 64 to 256 channels err by
/// 0.8e-6 to 1.5e-6 of their spread, plain sums one after the other by 0.4e-6 to 0.8e-6, with 1 and 2 by 1.6e-6 to
/// 3.3e-6. On points and errors see Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution
/// for Deep Neural Networks" (arXiv:1803.10986).
struct LargeTile {
  static constexpr int64_t kSide = 4, kPatch = kSide + kWindow - 1, kElements = kPatch * kPatch;
  static constexpr WeightForm kForm = WeightForm::winograd_4;
  // Of 24, 36, 48 and 96, on Zen 4: 56x56x64 458 456 449 369; 14x14x256 424 373 412 312; 7x7x512 235 308 317 285.
  static constexpr int64_t kTiles = 36;
  static constexpr float p = 0.75f, q = 1.5f, pp = p * p, qq = q * q;
  static constexpr float kZero = 1.0f / (pp * qq), kP = 0.5f / (pp * (pp - qq)), kQ = 0.5f / (qq * (qq - pp));

  static Values<6> patch(const Values<6>& d) {  // B^T
    const Lanes even_p = d[4] - qq * d[2], odd_p = p * (d[3] - qq * d[1]);
    const Lanes even_q = d[4] - pp * d[2], odd_q = q * (d[3] - pp * d[1]);
    return {(pp * qq) * d[0] - (pp + qq) * d[2] + d[4],
            even_p + odd_p,
            even_p - odd_p,
            even_q + odd_q,
            even_q - odd_q,
            (pp * qq) * d[1] - (pp + qq) * d[3] + d[5]};
  }
  static Values<6> window(const Values<3>& g) {  // G
    const Lanes even_p = kP * g[0] + (kP * pp) * g[2], odd_p = (kP * p) * g[1];
    const Lanes even_q = kQ * g[0] + (kQ * qq) * g[2], odd_q = (kQ * q) * g[1];
    return {kZero * g[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g[2]};
  }
  static Values<3> window_adjoint(const Values<6>& u) {  // G^T
    const Lanes even_p = kP * (u[1] + u[2]), even_q = kQ * (u[3] + u[4]);
    return {kZero * u[0] + even_p + even_q, (kP * p) * (u[1] - u[2]) + (kQ * q) * (u[3] - u[4]),
            pp * even_p + qq * even_q + u[5]};
  }
  static Values<4> result(const Values<6>& m) {  // A^T
    const Lanes even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
    return {m[0] + even_p + even_q, p * odd_p + q * odd_q, pp * even_p + qq * even_q,
            (p * pp) * odd_p + (q * qq) * odd_q + m[5]};
  }
  static Values<6> result_adjoint(const Values<4>& y) {  // A
    const Lanes even_p = y[0] + pp * y[2], odd_p = p * y[1] + (p * pp) * y[3];
    const Lanes even_q = y[0] + qq * y[2], odd_q = q * y[1] + (q * qq) * y[3];
    return {y[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y[3]};
  }
};

/// Images [N, H, W, C] and the squares of kSide pixels that tiles see of them: of tile (i, j) of an image, that from
/// row kStep i - margin, column kStep j - margin on. Pixels outside are 0, or not written.
template <int64_t kSide, int64_t kStep, typename Float>
struct Squares {
  /// `shape` of the images; `result` of what the tiles make up, [N, H', W', any].
  Squares(Float* images, const Shape& shape, int64_t margin_of_patch, const Shape& result)
      : data(images),
        height(shape[1]),
        width(shape[2]),
        channels(shape[3]),
        margin(margin_of_patch),
        down(divide_up(result[1], kStep)),
        across(divide_up(result[2], kStep)),
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
    const int64_t top = tile / across % down * kStep - margin;
    const int64_t left = tile % across * kStep - margin;
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

/// Of a part's tiles [elements, count, channels].
template <typename Float>
struct Transformed {
  Float* data;
  int64_t stride;  ///< floats from element to element

  /// Of the first element.
  Float* tile(const Part& part, int64_t number) const { return data + number * part.channels; }
};

/// What `transform` makes of a part's tile, of which all pixels are there if kWhole.
template <int64_t kPatch, int64_t kSide, bool kWhole, typename F>
void transform_tile(const std::array<const float*, kSide * kSide>& pixels, const Part& part,
                    const F& transform, float* to, int64_t stride) {
  for (int64_t c = 0; c < part.channels; c += kLanes) {
    Square<kSide> square;
    unrolled<kSide * kSide>([&](int i) {
      const bool inside = kWhole || pixels[i] != nullptr;
      square[i / kSide][i % kSide] = inside ? load(pixels[i] + part.channel + c) : Lanes{};
    });
    const Square<kPatch> result = both_ways<kPatch, kSide>(square, transform);
    unrolled<kPatch * kPatch>([&](int k) { store(to + k * stride + c, result[k / kPatch][k % kPatch]); });
  }
}

/// What `transform` makes of the squares of a part.
template <int64_t kPatch, int64_t kSide, int64_t kStep, typename F>
void transform_squares(const Squares<kSide, kStep, const float>& squares, const Part& part,
                       const F& transform, const Transformed<float>& transformed) {
  std::array<const float*, kSide * kSide> pixels{};
  for (int64_t t = 0; t < part.count; ++t) {
    bool whole = true;
    squares.for_each_pixel(part.first + t, [&](int64_t i, const float* pixel) {
      pixels[i] = pixel;
      whole = whole && pixel != nullptr;
    });
    float* to = transformed.tile(part, t);
    if (whole) {
      transform_tile<kPatch, kSide, true>(pixels, part, transform, to, transformed.stride);
    } else {
      transform_tile<kPatch, kSide, false>(pixels, part, transform, to, transformed.stride);
    }
  }
}

/// Writes the results of a part, of all channels, from its sums of products.
template <typename Tile>
void write_results(const Squares<Tile::kSide, Tile::kSide, float>& squares, const Part& part,
                   const Transformed<const float>& sums) {
  constexpr int64_t kSide = Tile::kSide, kPatch = Tile::kPatch;
  std::array<float*, kSide * kSide> pixels{};
  for (int64_t t = 0; t < part.count; ++t) {
    squares.for_each_pixel(part.first + t, [&](int64_t i, float* pixel) { pixels[i] = pixel; });
    const float* from = sums.tile(part, t);
    for (int64_t c = 0; c < part.channels; c += kLanes) {
      Square<kPatch> sum;
      unrolled<Tile::kElements>(
          [&](int k) { sum[k / kPatch][k % kPatch] = load(from + k * sums.stride + c); });
      const Square<kSide> result = both_ways<kSide, kPatch>(sum, Tile::result);
      unrolled<kSide * kSide>([&](int i) {
        if (pixels[i] != nullptr) store(pixels[i] + c, result[i / kSide][i % kSide]);
      });
    }
  }
}

/// Windows w [O, 3, 3, I] transformed, as panels [elements, O / 16, I, 16]; to map O to I, turned by half a turn, as
/// [elements, I / 16, O, 16].
template <typename Tile>
Tensor transformed_windows(const Tensor& w, Direction direction) {
  const bool backward = direction == Direction::backward;
  constexpr int64_t kPatch = Tile::kPatch, kElements = Tile::kElements;
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
          const Square<kPatch> u = both_ways<kPatch, kWindow>(g, Tile::window);
          for (int64_t k = 0; k < kElements; ++k) elements[k][window] = u[k / kPatch][k % kPatch];
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
template <typename Tile>
Tensor convolved_by(const Tensor& from, const Tensor& windows, int64_t padding, const Shape& shape) {
  constexpr int64_t kPatch = Tile::kPatch, kElements = Tile::kElements;
  const int64_t in = from.dim(3), out = shape[3];
  Tensor result = Tensor::empty(shape);
  const Squares<kPatch, Tile::kSide, const float> patches(from.data<float>(), from.shape(), padding, shape);
  const Squares<Tile::kSide, Tile::kSide, float> tiles(result.data<float>(), shape, 0, shape);
  const int64_t all = tiles.tiles;
  const int64_t share = divide_up(all, std::max<int64_t>(divide_up(all, Tile::kTiles), cpu_threads()));
  const int64_t most = divide_up(share, kRows) * kRows;
  const int64_t tasks = divide_up(all, most);
  const int64_t v_stride = most * in + kGap, m_stride = most * out + kGap;
  Tensor workspace = Tensor::empty({task_workers(tasks), kElements * (v_stride + m_stride)});
  parallel_tasks(tasks, [&](int64_t worker, int64_t task) {
    const int64_t first = task * most, count = std::min(most, all - first);
    float* v = workspace.data<float>() + worker * kElements * (v_stride + m_stride);
    float* m = v + kElements * v_stride;
    transform_squares<kPatch>(patches, {first, count, 0, in}, Tile::patch, {v, v_stride});
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
    write_results<Tile>(tiles, {first, count, 0, out}, {m, m_stride});
  });
  return result;
}

template <typename Tile>
Tensor weight_gradient(const Tensor& dy, const Tensor& x, const Shape& w_shape, int64_t padding) {
  constexpr int64_t kPatch = Tile::kPatch, kElements = Tile::kElements;
  const int64_t in = w_shape[3], out = w_shape[0];
  const Squares<kPatch, Tile::kSide, const float> patches(x.data<float>(), x.shape(), padding, dy.shape());
  const Squares<Tile::kSide, Tile::kSide, const float> tiles(dy.data<float>(), dy.shape(), 0, dy.shape());
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
      transform_squares<kPatch>(patches, {first, count, task.column, task.columns}, Tile::patch,
                                {v, kStride});
      transform_squares<kPatch>(tiles, {first, count, task.row, task.rows}, Tile::result_adjoint,
                                {m, kStride});
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
        Square<kPatch> sum;
        for (int64_t k = 0; k < kElements; ++k)
          sum[k / kPatch][k % kPatch] = load(u + k * kSumStride + row * task.columns + c);
        const Square<kWindow> g = both_ways<kWindow, kPatch>(sum, Tile::window_adjoint);
        for (int64_t k = 0; k < kWindow * kWindow; ++k)
          store(to + ((task.row + row) * kWindow * kWindow + k) * in + task.column + c,
                g[k / kWindow][k % kWindow]);
      }
    }
  });
  return panels::sum_of_parts(sums).reshape(w_shape);
}

template <typename Tile>
int64_t count_tiles(const Shape& tiled) {
  return tiled[0] * divide_up(tiled[1], Tile::kSide) * divide_up(tiled[2], Tile::kSide);
}

/// f(a tile) of the kind that suits images of this shape.
template <typename F>
auto with_tile(const Shape& tiled, const F& f) {
  return tile_side(tiled) == LargeTile::kSide ? f(LargeTile{}) : f(SmallTile{});
}

Tensor convolved(const Tensor& from, const Tensor& w, Direction direction, int64_t padding,
                 const Shape& shape) {
  return with_tile(shape, [&]<typename Tile>(Tile) {
    const auto transform = [&] { return transformed_windows<Tile>(w, direction); };
    const Tensor windows =
        direction == Direction::forward ? ConstantWeights::made_of(w, Tile::kForm, transform) : transform();
    return convolved_by<Tile>(from, windows, padding, shape);
  });
}

}  // namespace

bool possible(const Shape& w, const Conv2dOptions& options) {
  return w[1] == kWindow && w[2] == kWindow && options.stride == 1 && options.padding < kWindow &&
         w[0] % kColumns == 0 && w[3] % kColumns == 0;
}

int64_t tile_side(const Shape& tiled) {
  const auto cost = [&]<typename Tile>(Tile) {
    return Tile::kElements * (count_tiles<Tile>(tiled) + kTilesOfWindows);
  };
  return cost(LargeTile{}) < cost(SmallTile{}) ? LargeTile::kSide : SmallTile::kSide;
}

double saving(const Shape& tiled, const Shape& y) {
  const int64_t products =
      with_tile(tiled, [&]<typename Tile>(Tile) { return count_tiles<Tile>(tiled) * Tile::kElements; });
  return static_cast<double>(y[0] * y[1] * y[2] * kWindow * kWindow) / static_cast<double>(products);
}

Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  return convolved(x, w, Direction::forward, options.padding, options.output_shape(x.shape(), w.shape()));
}

Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options) {
  return convolved(dy, w, Direction::backward, kWindow - 1 - options.padding, x_shape);
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  return with_tile(dy.shape(), [&]<typename Tile>(Tile) {
    return weight_gradient<Tile>(dy, x, w_shape, options.padding);
  });
}

}  // namespace cytograd::conv2d_winograd
