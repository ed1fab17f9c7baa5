// The CPU's own ways to convolve, by Winograd's transforms and as products of pixels, against plain loops in f64.
#include <gtest/gtest.h>

#include <limits>
#include <span>

#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/conv2d_way_cpu.h"
#include "engine/ops/conv2d_winograd_cpu.h"
#include "tests/support/values.h"

namespace cytograd::test {
namespace {

struct Problem {
  Shape x, w;
  Conv2dOptions options;

  Shape y() const { return options.output_shape(x, w); }
  std::string text() const {
    return fmt::format("x {}, w {}, stride {}, padding {}", x, w, options.stride, options.padding);
  }
};

// Odd and even sizes, so that the last tiles are whole and broken; every padding there may be; one pixel; more tiles
// than a thread takes at a time, and than a part of dw's sums has; as many input as output channels, fewer, more, more
// than a block of dw has. The last ones are large enough for tiles of four pixels a side, of which sides leave one to
// three.
const Problem kWinograd[] = {
    {{2, 8, 6, 16}, {32, 3, 3, 16}, {.padding = 1}},   {{1, 7, 9, 32}, {16, 3, 3, 32}, {.padding = 1}},
    {{3, 5, 4, 16}, {16, 3, 3, 16}, {.padding = 0}},   {{2, 3, 5, 16}, {48, 3, 3, 16}, {.padding = 2}},
    {{1, 1, 1, 16}, {16, 3, 3, 16}, {.padding = 1}},   {{1, 3, 3, 16}, {16, 3, 3, 16}, {.padding = 0}},
    {{2, 5, 5, 80}, {144, 3, 3, 80}, {.padding = 1}},  {{2, 13, 13, 16}, {16, 3, 3, 16}, {.padding = 1}},
    {{7, 31, 29, 16}, {16, 3, 3, 16}, {.padding = 1}}, {{2, 34, 27, 32}, {48, 3, 3, 32}, {.padding = 0}},
    {{2, 25, 30, 80}, {144, 3, 3, 80}, {.padding = 2}}};
constexpr size_t kLargeTiles = 3;  // of them, the last

// Strides that leave pixels of x without any tap, or with fewer than others; windows larger than the taps taken
// together; more pixels than a task, and than a part of dw's sums; more channels than a block of either.
const Problem kProduct[] = {{{2, 9, 8, 32}, {16, 1, 1, 32}, {}},
                            {{2, 9, 8, 16}, {32, 1, 1, 16}, {.stride = 2}},
                            {{3, 8, 7, 16}, {32, 3, 3, 16}, {.stride = 2, .padding = 1}},
                            {{2, 7, 8, 16}, {16, 3, 3, 16}, {.stride = 2}},
                            {{2, 11, 8, 16}, {16, 5, 4, 16}, {.stride = 3, .padding = 2}},
                            {{1, 1, 1, 16}, {16, 3, 3, 16}, {.stride = 2, .padding = 1}},
                            {{3, 30, 23, 16}, {32, 3, 3, 16}, {.padding = 1}},
                            {{1, 3, 3, 528}, {144, 3, 3, 528}, {.stride = 2, .padding = 1}},
                            {{2, 4, 4, 144}, {528, 1, 1, 144}, {}}};

// Gradients of windows of any channels: whole window rows, single taps of more channels than a block has.
const Problem kWeights[] = {{{2, 20, 17, 6}, {64, 7, 7, 6}, {.stride = 2, .padding = 3}},
                            {{1, 5, 5, 40}, {24, 3, 3, 40}, {.padding = 1}},
                            {{2, 6, 6, 100}, {10, 3, 3, 100}, {.padding = 1}},
                            {{2, 3, 3, 300}, {7, 2, 2, 300}, {}}};

struct Results {
  std::vector<double> y, dx, dw;
};

/// In sums of type Sum, one product after the other.
template <typename Sum = double>
Results by_loops(const Problem& p, const std::vector<double>& x, const std::vector<double>& w,
                 const std::vector<double>& dy) {
  const Shape y_shape = p.y();
  const int64_t in = p.x[3], out = p.w[0];
  std::vector<Sum> y(dy.size()), dx(x.size()), dw(w.size());
  for (int64_t n = 0; n < p.x[0]; ++n) {
    for (int64_t i = 0; i < y_shape[1]; ++i) {
      for (int64_t j = 0; j < y_shape[2]; ++j) {
        for (int64_t u = 0; u < p.w[1]; ++u) {
          for (int64_t v = 0; v < p.w[2]; ++v) {
            const int64_t row = i * p.options.stride + u - p.options.padding;
            const int64_t column = j * p.options.stride + v - p.options.padding;
            if (row < 0 || row >= p.x[1] || column < 0 || column >= p.x[2]) continue;
            const int64_t from = ((n * p.x[1] + row) * p.x[2] + column) * in;
            const int64_t to = ((n * y_shape[1] + i) * y_shape[2] + j) * out;
            for (int64_t o = 0; o < out; ++o) {
              const double* tap = w.data() + ((o * p.w[1] + u) * p.w[2] + v) * in;
              Sum* gradient = dw.data() + ((o * p.w[1] + u) * p.w[2] + v) * in;
              const double g = dy[to + o];
              for (int64_t c = 0; c < in; ++c) {
                y[to + o] += static_cast<Sum>(x[from + c] * tap[c]);
                dx[from + c] += static_cast<Sum>(g * tap[c]);
                gradient[c] += static_cast<Sum>(g * x[from + c]);
              }
            }
          }
        }
      }
    }
  }
  return {{y.begin(), y.end()}, {dx.begin(), dx.end()}, {dw.begin(), dw.end()}};
}

// A way's three operations, and the problems it is for.
struct Winograd {
  static std::span<const Problem> problems() { return kWinograd; }
  static bool has_large_tiles(const Problem& p) { return conv2d_winograd::tile_side(p.y()) == 4; }
  static Tensor forward(const Problem& p, const Tensor& x, const Tensor& w) {
    return conv2d_winograd::forward(x, w, p.options);
  }
  static Tensor backward_input(const Problem& p, const Tensor& dy, const Tensor& w) {
    return conv2d_winograd::backward_input(dy, w, p.x, p.options);
  }
  static Tensor backward_weight(const Problem& p, const Tensor& dy, const Tensor& x) {
    return conv2d_winograd::backward_weight(dy, x, p.w, p.options);
  }
};

struct Product {
  static std::span<const Problem> problems() { return kProduct; }
  static bool has_large_tiles(const Problem&) { return false; }
  static Tensor forward(const Problem& p, const Tensor& x, const Tensor& w) {
    return conv2d_product::forward(x, w, p.options);
  }
  static Tensor backward_input(const Problem& p, const Tensor& dy, const Tensor& w) {
    return conv2d_product::backward_input(dy, w, p.x, p.options);
  }
  static Tensor backward_weight(const Problem& p, const Tensor& dy, const Tensor& x) {
    return conv2d_product::backward_weight(dy, x, p.w, p.options);
  }
};

// Leaves NaN in the pool's buffers of these sizes, for whoever adds to a result, or leaves some of it out.
void poison(const Problem& p) {
  for (const Shape& shape : {p.x, p.y(), p.w})
    Tensor::full(shape, std::numeric_limits<float>::quiet_NaN(), DType::f32);
}

template <typename Way>
class Conv2dWays : public testing::Test {};
using Ways = testing::Types<Winograd, Product>;
TYPED_TEST_SUITE(Conv2dWays, Ways);

TYPED_TEST(Conv2dWays, AgreesWithPlainLoops) {
  for (const Problem& p : TypeParam::problems()) {
    SCOPED_TRACE(p.text());
    const Tensor x = normal(p.x, 1), w = normal(p.w, 2), dy = normal(p.y(), 3);
    const Results expected = by_loops(p, values_of(x), values_of(w), values_of(dy));
    // Errors of what large tiles sum spread 1.8 times as far as those of plain sums in f32.
    const bool large = TypeParam::has_large_tiles(p);
    const Results plain = large ? by_loops<float>(p, values_of(x), values_of(w), values_of(dy)) : expected;
    const auto most = [](const std::vector<double>& sums, const std::vector<double>& exact) {
      return std::max(2e-6, 3.0 * greatest_error(sums, exact));
    };
    for (const int threads : {1, 3}) {
      const Threads limited(threads);
      poison(p);
      EXPECT_LE(greatest_error(values_of(TypeParam::forward(p, x, w)), expected.y),
                most(plain.y, expected.y));
      poison(p);
      EXPECT_LE(greatest_error(values_of(TypeParam::backward_input(p, dy, w)), expected.dx),
                most(plain.dx, expected.dx));
      poison(p);
      EXPECT_LE(greatest_error(values_of(TypeParam::backward_weight(p, dy, x)), expected.dw),
                most(plain.dw, expected.dw));
    }
  }
}

// Many tiles and pixels; and so few that threads divide them, or the channels, otherwise.
TYPED_TEST(Conv2dWays, HasTheSameBitsOnAnyNumberOfThreads) {
  const Conv2dOptions same{.padding = 1};
  for (const Problem& p :
       {Problem{{4, 33, 31, 64}, {64, 3, 3, 64}, same}, Problem{{1, 14, 14, 64}, {64, 3, 3, 64}, same},
        Problem{{1, 5, 5, 256}, {256, 3, 3, 256}, same}}) {
    SCOPED_TRACE(p.text());
    const Tensor x = normal(p.x, 1), w = normal(p.w, 2), dy = normal(p.y(), 3);
    std::vector<std::vector<double>> first;
    for (const int threads : {1, 2, 3}) {
      const Threads limited(threads);
      const std::vector<std::vector<double>> now{values_of(TypeParam::forward(p, x, w)),
                                                 values_of(TypeParam::backward_input(p, dy, w)),
                                                 values_of(TypeParam::backward_weight(p, dy, x))};
      if (first.empty()) first = now;
      EXPECT_EQ(now, first) << threads;
    }
  }
}

TEST(Conv2dWinograd, TakesLargeTilesWhereTheySaveMore) {
  for (size_t i = 0; i < std::size(kWinograd); ++i) {
    SCOPED_TRACE(kWinograd[i].text());
    const int64_t side = i + kLargeTiles < std::size(kWinograd) ? 2 : 4;
    for (const Shape& tiled : {kWinograd[i].y(), kWinograd[i].x})
      EXPECT_EQ(conv2d_winograd::tile_side(tiled), side);
  }
  EXPECT_EQ(conv2d_winograd::saving({64, 8, 8, 16}, {64, 8, 8, 16}), 4.0);
  EXPECT_EQ(conv2d_winograd::saving({64, 6, 6, 16}, {64, 6, 6, 16}), 2.25);
  EXPECT_EQ(conv2d_winograd::saving({64, 6, 6, 16}, {64, 4, 4, 16}), 1.0);
}

TEST(Conv2dProduct, GradientsOfWindowsAreForAnyChannels) {
  for (const Problem& p : kWeights) {
    SCOPED_TRACE(p.text());
    const Tensor x = normal(p.x, 1), w = normal(p.w, 2), dy = normal(p.y(), 3);
    const Results expected = by_loops(p, values_of(x), values_of(w), values_of(dy));
    EXPECT_LE(greatest_error(values_of(Product::backward_weight(p, dy, x)), expected.dw), 2e-6);
  }
}

Conv2dWay way_of(Conv2dPass pass, const Problem& p, CpuVectors vectors = CpuVectors::bits_256,
                 DType dtype = DType::f32) {
  return conv2d_way(
      {.pass = pass, .x = p.x, .w = p.w, .options = p.options, .dtype = dtype, .vectors = vectors});
}

TEST(Conv2dWay, IsTheFastestOneThatServes) {
  constexpr auto kForward = Conv2dPass::forward, kInput = Conv2dPass::backward_input,
                 kWeight = Conv2dPass::backward_weight;
  const Conv2dOptions same{.padding = 1}, half{.stride = 2, .padding = 1};
  const Problem large{{16, 14, 14, 256}, {256, 3, 3, 256}, same};
  for (const Conv2dPass pass : {kForward, kInput, kWeight}) {
    EXPECT_EQ(way_of(pass, large), Conv2dWay::winograd);
    EXPECT_EQ(way_of(pass, {{16, 14, 14, 256}, {256, 3, 3, 256}, half}), Conv2dWay::product);
    EXPECT_EQ(way_of(pass, {{64, 2, 2, 512}, {512, 3, 3, 512}, same}), Conv2dWay::taps);
    EXPECT_EQ(way_of(pass, {{64, 64, 64, 3}, {64, 7, 7, 3}, {.stride = 2, .padding = 3}}), Conv2dWay::direct);
    EXPECT_EQ(way_of(pass, large, CpuVectors::double_pumped), Conv2dWay::winograd);
    EXPECT_EQ(way_of(pass, large, CpuVectors::bits_512), Conv2dWay::direct);
  }
  EXPECT_EQ(way_of(kForward, {{1, 14, 14, 64}, {64, 3, 3, 64}, same}), Conv2dWay::direct);
  EXPECT_EQ(way_of(kForward, {{16, 14, 14, 256}, {64, 1, 1, 256}, {}}), Conv2dWay::direct);
  EXPECT_EQ(way_of(kWeight, {{16, 14, 14, 256}, {64, 1, 1, 256}, {}}), Conv2dWay::product);
  EXPECT_EQ(way_of(kForward, {{16, 14, 14, 40}, {64, 3, 3, 40}, same}), Conv2dWay::direct);
  EXPECT_EQ(way_of(kWeight, {{64, 64, 64, 6}, {64, 7, 7, 6}, {.stride = 2, .padding = 3}}),
            Conv2dWay::product);
  EXPECT_EQ(way_of(kForward, {{64, 2, 2, 512}, {512, 3, 3, 512}, same}, CpuVectors::bits_512),
            Conv2dWay::taps);
  EXPECT_EQ(way_of(kForward, {{64, 4, 4, 72}, {72, 3, 3, 72}, same}), Conv2dWay::taps);
  EXPECT_EQ(way_of(kForward, {{1024, 1, 1, 32}, {32, 3, 3, 32}, same}), Conv2dWay::direct);
}

// Of AVX-512 in halves the library makes more than of 256 bits where Winograd's transforms do not serve.
TEST(Conv2dWay, OfDoublePumpedVectorsIsTheFastestOneThatServes) {
  constexpr auto kZen4 = CpuVectors::double_pumped;
  const Conv2dOptions same{.padding = 1}, half{.stride = 2, .padding = 1};
  for (const Conv2dPass pass :
       {Conv2dPass::forward, Conv2dPass::backward_input, Conv2dPass::backward_weight}) {
    EXPECT_EQ(way_of(pass, {{64, 4, 4, 256}, {256, 3, 3, 256}, same}, kZen4), Conv2dWay::winograd);
    EXPECT_EQ(way_of(pass, {{16, 14, 14, 256}, {256, 3, 3, 256}, half}, kZen4), Conv2dWay::direct);
    EXPECT_EQ(way_of(pass, {{16, 14, 14, 256}, {64, 1, 1, 256}, {}}, kZen4), Conv2dWay::direct);
    EXPECT_EQ(way_of(pass, {{64, 2, 2, 512}, {512, 3, 3, 512}, same}, kZen4), Conv2dWay::taps);
    EXPECT_EQ(way_of(pass, {{64, 4, 4, 256}, {512, 3, 3, 256}, half}, kZen4), Conv2dWay::taps);
  }
  EXPECT_EQ(way_of(Conv2dPass::forward, {{1, 14, 14, 64}, {64, 3, 3, 64}, same}, kZen4), Conv2dWay::direct);
  // Tiles of odd sides are not whole, and tiles of x are more than those of the result without padding.
  const Problem odd{{64, 5, 5, 256}, {256, 3, 3, 256}, same}, inner{{64, 6, 6, 256}, {256, 3, 3, 256}, {}};
  EXPECT_EQ(way_of(Conv2dPass::forward, odd, kZen4), Conv2dWay::direct);
  EXPECT_EQ(way_of(Conv2dPass::forward, odd), Conv2dWay::winograd);
  EXPECT_EQ(way_of(Conv2dPass::forward, inner), Conv2dWay::winograd);
  EXPECT_EQ(way_of(Conv2dPass::backward_input, inner), Conv2dWay::direct);
}

TEST(Conv2dWay, WidensBf16WhereTheLibraryIsSlow) {
  constexpr auto kForward = Conv2dPass::forward, kInput = Conv2dPass::backward_input,
                 kWeight = Conv2dPass::backward_weight;
  const Conv2dOptions same{.padding = 1}, half{.stride = 2, .padding = 1};
  const auto way = [](Conv2dPass pass, const Problem& p, CpuVectors vectors = CpuVectors::double_pumped) {
    return way_of(pass, p, vectors, DType::bf16);
  };
  const Problem few{{64, 2, 2, 512}, {512, 3, 3, 512}, same}, more{{256, 2, 2, 512}, {512, 3, 3, 512}, same},
      halved{{64, 4, 4, 256}, {512, 3, 3, 256}, half};
  for (const Conv2dPass pass : {kForward, kInput, kWeight}) {
    EXPECT_EQ(way(pass, few), Conv2dWay::taps);
    EXPECT_EQ(way(pass, few, CpuVectors::bits_512), Conv2dWay::direct);
    EXPECT_EQ(way(pass, {{16, 14, 14, 256}, {256, 3, 3, 256}, same}), Conv2dWay::direct);
  }
  for (const Problem& p : {more, halved}) {
    EXPECT_EQ(way(kForward, p), Conv2dWay::direct);
    EXPECT_EQ(way(kInput, p), Conv2dWay::direct);
    EXPECT_EQ(way(kWeight, p), Conv2dWay::taps);
  }
  EXPECT_EQ(way(kForward, {{64, 2, 2, 128}, {128, 3, 3, 128}, same}), Conv2dWay::direct);
  EXPECT_EQ(way(kForward, {{64, 2, 2, 512}, {512, 1, 1, 512}, {}}), Conv2dWay::direct);
}

// What was chosen for bf16 is chosen again for the operands in f32.
TEST(Conv2dWay, OfWidenedBf16IsThatOfF32) {
  int64_t widened = 0;
  for (const int64_t batch : {1, 8, 32, 64, 512}) {
    for (const int64_t side : {1, 2, 4, 8, 16}) {
      for (const int64_t window : {1, 3}) {
        for (const int64_t stride : {1, 2}) {
          for (const int64_t channels : {48, 64, 72, 512}) {
            const Problem p{{batch, side, side, channels},
                            {channels, window, window, channels},
                            {.stride = stride, .padding = window / 2}};
            SCOPED_TRACE(p.text());
            for (const Conv2dPass pass :
                 {Conv2dPass::forward, Conv2dPass::backward_input, Conv2dPass::backward_weight}) {
              const Conv2dWay way = way_of(pass, p, CpuVectors::double_pumped, DType::bf16);
              if (way == Conv2dWay::direct) continue;
              EXPECT_EQ(way_of(pass, p, CpuVectors::double_pumped), way);
              ++widened;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(widened, 0);
}

}  // namespace
}  // namespace cytograd::test
