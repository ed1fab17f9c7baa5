// The dense arithmetic of the CPU backend against plain loops in f64, and that of oneDNN in bf16, which the backend
// only leaves to it where the processor computes in bf16.
#include "engine/onednn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

#include "engine/backend.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

struct Convolution {
  int64_t batch, height, width, in, out, window;
  Conv2dOptions options;

  Shape x() const { return {batch, height, width, in}; }
  Shape w() const { return {out, window, window, in}; }
  Shape y() const { return options.output_shape(x(), w()); }
};

std::ostream& operator<<(std::ostream& stream, const Convolution& c) {
  return stream << to_string(c.x()) << " by " << to_string(c.w()) << " stride " << c.options.stride
                << " padding " << c.options.padding;
}

std::vector<float> random_values(const Shape& shape, uint64_t seed) {
  Philox random(seed);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = random.uniform(-1.0f, 1.0f);
  return values;
}

template <typename T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> result;
  for (const float value : values) result.push_back(static_cast<T>(value));
  return result;
}

template <typename T>
std::vector<float> widened(const std::vector<T>& values) {
  std::vector<float> result;
  for (const T value : values) result.push_back(static_cast<float>(value));
  return result;
}

// Calls body(x index, w index, y index) for every product of the convolution.
template <typename Body>
void for_each_product(const Convolution& c, const Body& body) {
  const Shape y = c.y();
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t row = 0; row < y[1]; ++row)
      for (int64_t column = 0; column < y[2]; ++column)
        for (int64_t kh = 0; kh < c.window; ++kh)
          for (int64_t kw = 0; kw < c.window; ++kw) {
            const int64_t ih = row * c.options.stride - c.options.padding + kh;
            const int64_t iw = column * c.options.stride - c.options.padding + kw;
            if (ih < 0 || iw < 0 || ih >= c.height || iw >= c.width) continue;
            for (int64_t o = 0; o < c.out; ++o)
              for (int64_t i = 0; i < c.in; ++i)
                body(static_cast<size_t>(((n * c.height + ih) * c.width + iw) * c.in + i),
                     static_cast<size_t>(((o * c.window + kh) * c.window + kw) * c.in + i),
                     static_cast<size_t>(((n * y[1] + row) * y[2] + column) * c.out + o));
          }
}

// Leaves NaN in the pool's buffer of this size, for whoever reads a result before writing it.
void poison(const Shape& shape, DType dtype) {
  Tensor::full(shape, std::numeric_limits<float>::quiet_NaN(), dtype);
}

// `terms` products of values in (-1, 1) were summed in f32, in any order, and the sum was rounded to `epsilon`.
// Partial sums are of the size of sqrt(terms) / 3 and each addition errs by at most 2^-24 of its own, in either
// direction: the sum is off by about terms / 3 * 2^-24. Six times that is allowed to the worst element.
void expect_close(const Tensor& actual, const Shape& shape, const std::vector<double>& expected,
                  int64_t terms, double epsilon, const char* what) {
  const std::vector<float> values = backend(Device::cpu).cast(actual, DType::f32).to_vector<float>();
  ASSERT_EQ(actual.shape(), shape) << what;
  const double summing = static_cast<double>(terms + 8) * 0x1p-23;
  for (size_t i = 0; i < values.size(); ++i) {
    const double tolerance = summing + std::abs(expected[i]) * epsilon;
    ASSERT_NEAR(static_cast<double>(values[i]), expected[i], tolerance) << what << " element " << i;
  }
}

/// oneDNN without the backend around it.
struct Plans : OnednnPlans {
  Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
    return matmul({.a = x, .b = w, .transpose_b = true, .bias = b, .result = x.dtype()});
  }
  Tensor linear_backward_input(const Tensor& dy, const Tensor& w) {
    return matmul({.a = dy, .b = w, .result = dy.dtype()});
  }
  Tensor linear_backward_weight(const Tensor& dy, const Tensor& x) {
    return matmul({.a = dy, .transpose_a = true, .b = x, .result = DType::f32});
  }
};

#define NEEDS_ONEDNN_BF16() \
  if (!OnednnPlans::computes(DType::bf16)) GTEST_SKIP() << "oneDNN computes in bf16 with AVX-512 alone"

template <typename T, typename Cpu>
void check_convolution(Cpu& cpu, const Convolution& c, double epsilon) {
  SCOPED_TRACE(testing::PrintToString(c));
  constexpr DType kType = DTypeOf<T>::value;
  const std::vector<T> x = rounded<T>(random_values(c.x(), 1));
  const std::vector<T> dy = rounded<T>(random_values(c.y(), 2));
  // Weights that bf16 holds exactly: the cast to x's type must not cost what the test does not allow for.
  const std::vector<float> w = widened(rounded<bf16>(random_values(c.w(), 3)));
  const std::vector<float> xf = widened(x), dyf = widened(dy);
  std::vector<double> y_expected(dy.size()), dx_expected(x.size()), dw_expected(w.size());
  for_each_product(c, [&](size_t xi, size_t wi, size_t yi) {
    y_expected[yi] += static_cast<double>(xf[xi]) * static_cast<double>(w[wi]);
    dx_expected[xi] += static_cast<double>(dyf[yi]) * static_cast<double>(w[wi]);
    dw_expected[wi] += static_cast<double>(dyf[yi]) * static_cast<double>(xf[xi]);
  });

  const Tensor xt = Tensor::from(x, c.x());
  const Tensor wt = Tensor::from(w, c.w());
  const Tensor dyt = Tensor::from(dy, c.y());
  const int64_t taps = c.window * c.window;
  poison(c.y(), kType);
  const Tensor y = cpu.conv2d(xt, wt, c.options);
  EXPECT_EQ(y.dtype(), kType);
  expect_close(y, c.y(), y_expected, taps * c.in, epsilon, "y");
  poison(c.x(), kType);
  const Tensor dx = cpu.conv2d_backward_input(dyt, wt, c.x(), c.options);
  EXPECT_EQ(dx.dtype(), kType);
  expect_close(dx, c.x(), dx_expected, taps * c.out, epsilon, "dx");
  poison(c.w(), DType::f32);
  const Tensor dw = cpu.conv2d_backward_weight(dyt, xt, wt, c.options);
  EXPECT_EQ(dw.dtype(), DType::f32);
  expect_close(dw, c.w(), dw_expected, c.batch * c.y()[1] * c.y()[2], 0x1p-22, "dw");
}

TEST(OnednnConvolution, MatchesPlainLoopsOnOddShapes) {
  int64_t turn = 0;
  for (const int64_t in : {1, 3, 5, 6, 8, 17, 64, 128})
    for (const int64_t window : {1, 3, 7})
      for (const int64_t stride : {1, 2})
        for (const int64_t padding : {0, 1, 3}) {
          if (padding >= window) continue;
          const int64_t outs[] = {1, 17, 64, 6, 8, 33};
          const Convolution c{.batch = turn % 2 == 0 ? 3 : 1,
                              .height = 9,
                              .width = 12,
                              .in = in,
                              .out = outs[turn % 6],
                              .window = window,
                              .options = {.stride = stride, .padding = padding}};
          ++turn;
          check_convolution<float>(backend(Device::cpu), c, 0x1p-22);
        }
}

// Results of few pixels go another way than the rest; both sides of its borders, and a stride and a padding
// that leave pixels and taps without a partner.
TEST(OnednnConvolution, MatchesPlainLoopsOnFewPixels) {
  const Convolution cases[] = {
      {8, 2, 2, 64, 64, 3, {.stride = 1, .padding = 1}},   {7, 2, 2, 64, 64, 3, {.stride = 1, .padding = 1}},
      {33, 4, 4, 64, 80, 3, {.stride = 1, .padding = 1}},  {32, 7, 5, 65, 64, 3, {.stride = 2, .padding = 1}},
      {9, 4, 4, 67, 130, 1, {.stride = 2, .padding = 0}},  {8, 1, 1, 64, 256, 3, {.stride = 1, .padding = 1}},
      {8, 2, 3, 72, 64, 1, {.stride = 3, .padding = 0}},   {8, 5, 5, 64, 64, 3, {.stride = 3, .padding = 0}},
      {8, 1, 1, 64, 64, 1, {.stride = 1, .padding = 0}},   {8, 2, 1, 64, 64, 7, {.stride = 2, .padding = 3}},
      {8, 1, 1, 256, 512, 1, {.stride = 1, .padding = 0}}, {8, 1, 1, 64, 64, 1, {.stride = 2, .padding = 1}},
  };
  for (const Convolution& c : cases) check_convolution<float>(backend(Device::cpu), c, 0x1p-22);
}

template <typename Cpu>
void check_bf16_convolutions(Cpu& cpu) {
  const Convolution cases[] = {
      {3, 9, 12, 6, 64, 7, {.stride = 2, .padding = 3}},   {3, 9, 12, 64, 64, 3, {.stride = 1, .padding = 1}},
      {1, 9, 12, 64, 128, 1, {.stride = 2, .padding = 0}}, {3, 9, 7, 17, 5, 3, {.stride = 2, .padding = 1}},
      {8, 2, 2, 64, 64, 3, {.stride = 1, .padding = 1}},
  };
  for (const Convolution& c : cases) check_convolution<bf16>(cpu, c, 0x1p-8);
}

TEST(OnednnConvolution, Bf16IsWithinItsRounding) { check_bf16_convolutions(backend(Device::cpu)); }

// Gradients that oneDNN alone gets wrong: those of taps that only meet padding it leaves to chance (the pool's buffers
// hold NaN), those of images under strided windows of 1x1 it writes past their end, and others it computes wrongly.
TEST(OnednnConvolution, WhatOnednnGetsWrongIsWithinItsRounding) {
  const Convolution cases[] = {
      {2, 1, 1, 64, 64, 3, {.stride = 2, .padding = 1}}, {3, 4, 1, 16, 32, 3, {.stride = 2, .padding = 1}},
      {2, 2, 2, 64, 64, 3, {.stride = 3, .padding = 1}}, {4, 1, 9, 128, 9, 5, {.stride = 1, .padding = 2}},
      {2, 9, 2, 32, 16, 7, {.stride = 1, .padding = 3}}, {1, 32, 32, 1, 72, 1, {.stride = 2, .padding = 0}},
      {1, 4, 18, 4, 74, 1, {.stride = 2, .padding = 0}}, {1, 39, 39, 3, 9, 1, {.stride = 3, .padding = 0}},
      {2, 5, 6, 16, 3, 1, {.stride = 1, .padding = 0}},  {1, 30, 30, 8, 33, 1, {.stride = 1, .padding = 0}}};
  for (const Convolution& c : cases) {
    for (int64_t bytes = 1 << 10; bytes <= 1 << 24; bytes *= 2) poison({bytes / 4}, DType::f32);
    check_convolution<bf16>(backend(Device::cpu), c, 0x1p-8);
    check_convolution<float>(backend(Device::cpu), c, 0x1p-22);
  }
}

TEST(OnednnConvolution, Bf16OfItsOwnIsWithinItsRounding) {
  NEEDS_ONEDNN_BF16();
  Plans plans;
  check_bf16_convolutions(plans);
}

template <typename Cpu>
void check_type_of_weight_gradient(Cpu& cpu) {
  const Convolution c{3, 9, 12, 17, 33, 3, {.stride = 1, .padding = 1}};
  const Tensor x = Tensor::from(rounded<bf16>(random_values(c.x(), 1)), c.x());
  const Tensor dy = Tensor::from(rounded<bf16>(random_values(c.y(), 2)), c.y());
  const Tensor w = Tensor::from(rounded<bf16>(random_values(c.w(), 3)), c.w());
  const Tensor narrow = cpu.conv2d_backward_weight(dy, x, w, c.options);
  const Tensor wide = cpu.conv2d_backward_weight(dy, x, backend(Device::cpu).cast(w, DType::f32), c.options);
  EXPECT_EQ(wide.dtype(), DType::f32);
  ASSERT_EQ(narrow.dtype(), DType::bf16);
  EXPECT_EQ(widened(narrow.to_vector<bf16>()), widened(rounded<bf16>(wide.to_vector<float>())));
}

TEST(OnednnConvolution, WeightGradientComesInTheTypeOfTheWeights) {
  check_type_of_weight_gradient(backend(Device::cpu));
}

TEST(OnednnConvolution, WeightGradientOfItsOwnComesInTheTypeOfTheWeights) {
  NEEDS_ONEDNN_BF16();
  Plans plans;
  check_type_of_weight_gradient(plans);
}

TEST(OnednnConvolution, RepeatsBitForBit) {
  const Convolution cases[] = {{16, 16, 16, 64, 64, 3, {.stride = 1, .padding = 1}},
                               {16, 2, 2, 128, 256, 3, {.stride = 1, .padding = 1}},
                               {4, 32, 32, 6, 64, 7, {.stride = 2, .padding = 3}}};
  Backend& cpu = backend(Device::cpu);
  for (const Convolution& c : cases) {
    SCOPED_TRACE(testing::PrintToString(c));
    const Tensor x = Tensor::from(random_values(c.x(), 1), c.x());
    const Tensor dy = Tensor::from(random_values(c.y(), 2), c.y());
    const Tensor w = Tensor::from(random_values(c.w(), 3), c.w());
    const auto all = [&] {
      return std::vector{cpu.conv2d(x, w, c.options).to_vector<float>(),
                         cpu.conv2d_backward_input(dy, w, c.x(), c.options).to_vector<float>(),
                         cpu.conv2d_backward_weight(dy, x, w, c.options).to_vector<float>()};
    };
    const auto first = all();
    for (int i = 0; i < 5; ++i) ASSERT_EQ(all(), first);
  }
}

template <typename T, typename Cpu>
void check_linear(Cpu& cpu, int64_t batch, int64_t in, int64_t out, double epsilon) {
  SCOPED_TRACE(fmt::format("linear {} x {} to {}", batch, in, out));
  const std::vector<T> x = rounded<T>(random_values({batch, in}, 1));
  const std::vector<T> dy = rounded<T>(random_values({batch, out}, 2));
  const std::vector<float> w = widened(rounded<bf16>(random_values({out, in}, 3)));
  const std::vector<float> b = random_values({out}, 4);
  std::vector<double> y_expected(dy.size()), dx_expected(x.size()), dw_expected(w.size()),
      db_expected(b.size());
  for (size_t n = 0; n < static_cast<size_t>(batch); ++n)
    for (size_t o = 0; o < b.size(); ++o) {
      const size_t yi = n * b.size() + o;
      const double gradient = static_cast<double>(static_cast<float>(dy[yi]));
      y_expected[yi] += static_cast<double>(b[o]);
      db_expected[o] += gradient;
      for (size_t i = 0; i < static_cast<size_t>(in); ++i) {
        const size_t xi = n * static_cast<size_t>(in) + i;
        const size_t wi = o * static_cast<size_t>(in) + i;
        const double value = static_cast<double>(static_cast<float>(x[xi]));
        y_expected[yi] += value * static_cast<double>(w[wi]);
        dx_expected[xi] += gradient * static_cast<double>(w[wi]);
        dw_expected[wi] += gradient * value;
      }
    }
  const Tensor xt = Tensor::from(x, {batch, in});
  const Tensor dyt = Tensor::from(dy, {batch, out});
  const Tensor wt = Tensor::from(w, {out, in});
  const Tensor y = cpu.linear(xt, wt, Tensor::from(b, {out}));
  EXPECT_EQ(y.dtype(), DTypeOf<T>::value);
  expect_close(y, {batch, out}, y_expected, in, epsilon, "y");
  const Tensor dx = cpu.linear_backward_input(dyt, wt);
  EXPECT_EQ(dx.dtype(), DTypeOf<T>::value);
  expect_close(dx, {batch, in}, dx_expected, out, epsilon, "dx");
  const Tensor dw = cpu.linear_backward_weight(dyt, xt);
  EXPECT_EQ(dw.dtype(), DType::f32);
  expect_close(dw, {out, in}, dw_expected, batch, 0x1p-22, "dw");
  const Tensor db = backend(Device::cpu).linear_backward_bias(dyt);
  EXPECT_EQ(db.dtype(), DType::f32);
  expect_close(db, {out}, db_expected, batch, 0x1p-22, "db");
}

TEST(OnednnLinear, MatchesPlainLoops) {
  check_linear<float>(backend(Device::cpu), 1, 1, 1, 0x1p-22);
  check_linear<float>(backend(Device::cpu), 3, 17, 5, 0x1p-22);
  check_linear<float>(backend(Device::cpu), 65, 64, 131, 0x1p-22);
  check_linear<float>(backend(Device::cpu), 64, 512, 1139, 0x1p-22);
}

TEST(OnednnLinear, Bf16IsWithinItsRounding) {
  check_linear<bf16>(backend(Device::cpu), 3, 17, 5, 0x1p-8);
  check_linear<bf16>(backend(Device::cpu), 64, 512, 131, 0x1p-8);
}

TEST(OnednnLinear, Bf16OfItsOwnIsWithinItsRounding) {
  NEEDS_ONEDNN_BF16();
  Plans plans;
  check_linear<bf16>(plans, 3, 17, 5, 0x1p-8);
  check_linear<bf16>(plans, 64, 512, 131, 0x1p-8);
}

TEST(OnednnPlans, SecondCallTakesAllMemoryFromThePool) {
  Backend& cpu = backend(Device::cpu);
  const Convolution cases[] = {{4, 20, 20, 6, 48, 7, {.stride = 2, .padding = 3}},
                               {16, 2, 2, 64, 128, 3, {.stride = 1, .padding = 1}}};
  for (const Convolution& c : cases) {
    const Tensor x = Tensor::from(random_values(c.x(), 1), c.x());
    const Tensor dy = Tensor::from(random_values(c.y(), 2), c.y());
    const Tensor w = Tensor::from(random_values(c.w(), 3), c.w());
    const Tensor features = Tensor::from(random_values({4, 77}, 1), {4, 77});
    const Tensor matrix = Tensor::from(random_values({55, 77}, 1), {55, 77});
    const Tensor bias = Tensor::from(random_values({55}, 1), {55});
    const auto step = [&] {
      cpu.conv2d(x, w, c.options);
      cpu.conv2d_backward_input(dy, w, c.x(), c.options);
      cpu.conv2d_backward_weight(dy, x, w, c.options);
      cpu.linear(features, matrix, bias);
    };
    step();
    const PoolStatistics before = cpu.pool().statistics();
    step();
    EXPECT_EQ(cpu.pool().statistics().system_allocations, before.system_allocations);
    EXPECT_EQ(cpu.pool().statistics().bytes_in_use, before.bytes_in_use);
  }
}

TEST(OnednnPlans, RefusesF16AndNamesTheTypesThatWork) {
  Backend& cpu = backend(Device::cpu);
  const auto expect_refused = [](const auto& call) {
    EXPECT_THAT(call, testing::ThrowsMessage<Error>(testing::HasSubstr("f16; use bf16 or f32")));
  };
  const Tensor x = Tensor::zeros({1, 4, 4, 3}, DType::f16);
  const Tensor w = Tensor::zeros({3, 1, 1, 3});
  expect_refused([&] { cpu.conv2d(x, w, {}); });
  expect_refused([&] { cpu.conv2d_backward_input(x, w, x.shape(), {}); });
  expect_refused([&] { cpu.conv2d_backward_weight(x, x, w, {}); });
  const Tensor rows = Tensor::zeros({2, 3}, DType::f16);
  const Tensor matrix = Tensor::zeros({3, 3});
  expect_refused([&] { cpu.linear(rows, matrix, Tensor::zeros({3})); });
  expect_refused([&] { cpu.linear_backward_input(rows, matrix); });
  expect_refused([&] { cpu.linear_backward_weight(rows, rows); });
  expect_refused([&] { cpu.linear_backward_bias(rows); });
}

}  // namespace
}  // namespace cytograd
