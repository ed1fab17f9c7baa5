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
#include <atomic>
#include <cstring>

#include "engine/onednn.h"
#include "engine/parallel.h"

namespace cytograd::conv2d_winograd {
namespace {

constexpr int64_t kElements = 16;  // of a transformed tile
constexpr int64_t kWindow = 3;
constexpr int64_t kLanes = 8;  // channels that are transformed together
constexpr int64_t kTileGrain = 8;
// Tiles at a time: what they take stays in the L2 caches, but products of fewer rows would spend their time on bringing
// the windows into place. GFLOP/s of 56x56x64, 28x28x128, 14x14x256 on a core of an AMD EPYC, counted as the direct
// convolution's, which reaches 44, 42, 43: 1 MiB of f32 85, 120, 120; 4 MiB 63, 83, 100.
constexpr int64_t kWorkspaceFloats = int64_t{256} << 10;
constexpr int64_t kTileStep = 128;

/// Arithmetic on it is element by element, in vector registers where the processor has them.
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

Lanes load(const float* p) {
  Lanes lanes;
  std::memcpy(&lanes, p, sizeof(lanes));
  return lanes;
}
void store(float* p, const Lanes& lanes) { std::memcpy(p, &lanes, sizeof(lanes)); }

template <int64_t kSide>
using Square = std::array<std::array<Lanes, kSide>, kSide>;

/// f on each column, then on each row: f maps kFrom values to kTo.
template <int64_t kTo, int64_t kFrom, typename F>
Square<kTo> both_ways(const Square<kFrom>& from, const F& f) {
  std::array<std::array<Lanes, kFrom>, kTo> down;
  for (int64_t j = 0; j < kFrom; ++j) {
    std::array<Lanes, kFrom> column;
    for (int64_t i = 0; i < kFrom; ++i) column[i] = from[i][j];
    const std::array<Lanes, kTo> mapped = f(column);
    for (int64_t i = 0; i < kTo; ++i) down[i][j] = mapped[i];
  }
  Square<kTo> to;
  for (int64_t i = 0; i < kTo; ++i) to[i] = f(down[i]);
  return to;
}

std::array<Lanes, 4> patch_transform(const std::array<Lanes, 4>& d) {  // B^T
  return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]};
}
std::array<Lanes, 4> window_transform(const std::array<Lanes, 3>& g) {  // G
  const Lanes ends = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
  return {g[0], ends + middle, ends - middle, g[2]};
}
std::array<Lanes, 3> window_adjoint(const std::array<Lanes, 4>& u) {  // G^T
  const Lanes sum = 0.5f * (u[1] + u[2]);
  return {u[0] + sum, 0.5f * (u[1] - u[2]), sum + u[3]};
}
std::array<Lanes, 2> result_transform(const std::array<Lanes, 4>& m) {  // A^T
  return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]};
}
std::array<Lanes, 4> result_adjoint(const std::array<Lanes, 2>& y) {  // A
  return {y[0], y[0] + y[1], y[0] - y[1], -y[1]};
}

/// Images [N, H, W, C] and the squares of kSide pixels that tiles see of them: of tile (i, j) of an image, that from row
/// 2 i - margin, column 2 j - margin on. Pixels outside are 0, or not written.
template <int64_t kSide, typename Float>
struct Squares {
  Float* data;
  int64_t height, width, channels;
  int64_t margin;
  int64_t down, across;  ///< tiles of an image

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

/// transformed [16, count, C]: what `transform` makes of the squares of tiles first to first + count.
template <int64_t kSide, typename F>
void transform_squares(const Squares<kSide, const float>& squares, int64_t first, int64_t count,
                       const F& transform, float* transformed) {
  const int64_t channels = squares.channels;
  parallel_for(count, kTileGrain, [&](int64_t begin, int64_t end) {
    std::array<const float*, kSide * kSide> pixels{};
    for (int64_t t = begin; t < end; ++t) {
      squares.for_each_pixel(first + t, [&](int64_t i, const float* pixel) { pixels[i] = pixel; });
      for (int64_t c = 0; c < channels; c += kLanes) {
        Square<kSide> square{};
        for (int64_t i = 0; i < kSide * kSide; ++i) {
          if (pixels[i] != nullptr) square[i / kSide][i % kSide] = load(pixels[i] + c);
        }
        const Square<4> result = both_ways<4, kSide>(square, transform);
        for (int64_t k = 0; k < kElements; ++k)
          store(transformed + (k * count + t) * channels + c, result[k / 4][k % 4]);
      }
    }
  });
}

/// Writes the tiles' results from their sums of products [16, count, C].
void write_results(const Squares<2, float>& squares, int64_t first, int64_t count, const float* products) {
  const int64_t channels = squares.channels;
  parallel_for(count, kTileGrain, [&](int64_t begin, int64_t end) {
    std::array<float*, 4> pixels{};
    for (int64_t t = begin; t < end; ++t) {
      squares.for_each_pixel(first + t, [&](int64_t i, float* pixel) { pixels[i] = pixel; });
      for (int64_t c = 0; c < channels; c += kLanes) {
        Square<4> sums;
        for (int64_t k = 0; k < kElements; ++k)
          sums[k / 4][k % 4] = load(products + (k * count + t) * channels + c);
        const Square<2> result = both_ways<2, 4>(sums, result_transform);
        for (int64_t i = 0; i < 4; ++i) {
          if (pixels[i] != nullptr) store(pixels[i] + c, result[i / 2][i % 2]);
        }
      }
    }
  });
}

/// [16, O, I] of windows w [O, 3, 3, I], turned by half a turn if asked.
Tensor transformed_windows(const Tensor& w, bool turned) {
  const int64_t out = w.dim(0), in = w.dim(3);
  Tensor result = Tensor::empty({kElements, out, in});
  const float* from = w.data<float>();
  float* to = result.data<float>();
  parallel_for(out, 1, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t c = 0; c < in; c += kLanes) {
        Square<kWindow> g;
        for (int64_t i = 0; i < kWindow * kWindow; ++i) {
          const int64_t at = turned ? kWindow * kWindow - 1 - i : i;
          g[i / kWindow][i % kWindow] = load(from + (o * kWindow * kWindow + at) * in + c);
        }
        const Square<4> u = both_ways<4, kWindow>(g, window_transform);
        for (int64_t k = 0; k < kElements; ++k) store(to + (k * out + o) * in + c, u[k / 4][k % 4]);
      }
    }
  });
  return result;
}

/// The 16 products, which threads share out; product(element) is whether it was done.
template <typename F>
void multiply(const F& product) {
  std::atomic<bool> done = true;
  parallel_for(kElements, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      if (!product(k)) done = false;
    }
  });
  if (!done) fail("out of memory in a matrix product of the convolution");
}

int64_t tiles_at_once(int64_t channels) {
  return std::max<int64_t>(kWorkspaceFloats / (kElements * channels) / kTileStep, 1) * kTileStep;
}

/// Convolves `from` [N, H, W, A], `padding` pixels around it, with windows [16, B, A], or, turned, [16, A, B], to
/// [N, H', W', B].
Tensor convolved(const Tensor& from, const Tensor& windows, bool turned, int64_t padding,
                 const Shape& shape) {
  const int64_t in = from.dim(3), out = shape[3];
  const int64_t down = (shape[1] + 1) / 2, across = (shape[2] + 1) / 2;
  Tensor result = Tensor::empty(shape);
  const Squares<4, const float> patches{
      from.data<float>(), from.dim(1), from.dim(2), in, padding, down, across};
  const Squares<2, float> tiles{result.data<float>(), shape[1], shape[2], out, 0, down, across};
  const int64_t all = shape[0] * down * across;
  const int64_t most = std::min(all, tiles_at_once(in + out));
  Tensor transformed = Tensor::empty({kElements, most, in}), products = Tensor::empty({kElements, most, out});
  const float* u = windows.data<float>();
  float* v = transformed.data<float>();
  float* m = products.data<float>();
  for (int64_t first = 0; first < all; first += most) {
    const int64_t count = std::min(most, all - first);
    transform_squares(patches, first, count, patch_transform, v);
    multiply([&](int64_t k) {
      return sgemm({.m = count,
                    .n = out,
                    .k = in,
                    .a = v + k * count * in,
                    .a_stride = in,
                    .b = u + k * in * out,
                    .b_stride = turned ? out : in,
                    .transpose_b = !turned,
                    .c = m + k * count * out,
                    .c_stride = out});
    });
    write_results(tiles, first, count, m);
  }
  return result;
}

}  // namespace

bool preferred(const Shape& x, const Shape& w, const Conv2dOptions& options) {
  const bool possible = w[1] == kWindow && w[2] == kWindow && options.stride == 1 && options.padding <= 2 &&
                        w[0] % kLanes == 0 && w[3] % kLanes == 0;
  return possible && std::min(w[0], w[3]) >= 64 && x[0] * x[1] * x[2] >= 1024;
}

Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const Shape shape{x.dim(0), options.output_extent(x.dim(1), kWindow),
                    options.output_extent(x.dim(2), kWindow), w.dim(0)};
  return convolved(x, transformed_windows(w, false), false, options.padding, shape);
}

Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options) {
  return convolved(dy, transformed_windows(w, true), true, kWindow - 1 - options.padding, x_shape);
}

Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape,
                       const Conv2dOptions& options) {
  const int64_t in = w_shape[3], out = w_shape[0];
  const int64_t down = (dy.dim(1) + 1) / 2, across = (dy.dim(2) + 1) / 2;
  const Squares<4, const float> patches{x.data<float>(), x.dim(1), x.dim(2), in,
                                        options.padding, down,     across};
  const Squares<2, const float> tiles{dy.data<float>(), dy.dim(1), dy.dim(2), out, 0, down, across};
  const int64_t all = dy.dim(0) * down * across;
  const int64_t most = std::min(all, tiles_at_once(in + out));
  Tensor transformed = Tensor::empty({kElements, most, in}), spread = Tensor::empty({kElements, most, out});
  Tensor sums = Tensor::empty({kElements, out, in});
  float* v = transformed.data<float>();
  float* m = spread.data<float>();
  float* u = sums.data<float>();
  for (int64_t first = 0; first < all; first += most) {
    const int64_t count = std::min(most, all - first);
    transform_squares(patches, first, count, patch_transform, v);
    transform_squares(tiles, first, count, result_adjoint, m);
    multiply([&](int64_t k) {
      return sgemm({.m = out,
                    .n = in,
                    .k = count,
                    .a = m + k * count * out,
                    .a_stride = out,
                    .transpose_a = true,
                    .b = v + k * count * in,
                    .b_stride = in,
                    .c = u + k * out * in,
                    .c_stride = in,
                    .accumulate = first > 0});
    });
  }
  Tensor dw = Tensor::empty(w_shape);
  float* to = dw.data<float>();
  parallel_for(out, 1, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t c = 0; c < in; c += kLanes) {
        Square<4> sum;
        for (int64_t k = 0; k < kElements; ++k) sum[k / 4][k % 4] = load(u + (k * out + o) * in + c);
        const Square<kWindow> g = both_ways<kWindow, 4>(sum, window_adjoint);
        for (int64_t i = 0; i < kWindow * kWindow; ++i)
          store(to + (o * kWindow * kWindow + i) * in + c, g[i / kWindow][i % kWindow]);
      }
    }
  });
  return dw;
}

}  // namespace cytograd::conv2d_winograd
