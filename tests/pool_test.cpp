#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::rounding;
using test::tensor_of;
using test::values_of;

struct Case {
  Shape shape;
  MaxPool2dOptions options;
  DType dtype = DType::f32;
};

void PrintTo(const Case& c, std::ostream* out) { *out << to_string(c.shape) << ' ' << dtype_name(c.dtype); }

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<std::pair<Shape, MaxPool2dOptions>> plain{
      {{2, 9, 7, 5}, {}},           {{1, 1, 1, 3}, {}},
      {{2, 16, 16, 64}, {}},        {{1, 5, 6, 100}, {2, 2, 0}},
      {{3, 8, 9, 1}, {3, 1, 1}},    {{1, 11, 13, 17}, {5, 3, 2}},
      {{1, 17, 15, 6}, {15, 4, 7}}, {{2, 7, 8, 130}, {1, 1, 0}},
      {{1, 10, 10, 65}, {2, 5, 1}},  // pixels that no window reads
  };
  for (const auto& [shape, options] : plain) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) all.push_back({shape, options, dtype});
  }
  return all;
}

class MaxPool2d : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Shapes, MaxPool2d, testing::ValuesIn(cases()));

TEST_P(MaxPool2d, TakesTheFirstMaximumAndSendsItsGradientBack) {
  const auto& [shape, options, dtype] = GetParam();
  Backend& cpu = backend(Device::cpu);
  Tensor x = normal(shape, 1, dtype);
  // Few distinct values: most windows hold their maximum more than once.
  auto in = values_of(x);
  for (double& v : in) v = std::round(v);
  x = tensor_of(in, shape, dtype);
  const auto forward = cpu.max_pool2d(x, options);
  const Tensor dy = normal(forward.y.shape(), 2, dtype);
  const auto dx = values_of(cpu.max_pool2d_backward(dy, forward.index, shape, options));

  const int64_t rows = options.output_extent(shape[1]), columns = options.output_extent(shape[2]);
  ASSERT_EQ(forward.y.shape(), (Shape{shape[0], rows, columns, shape[3]}));
  const auto y = values_of(forward.y), g = values_of(dy);
  const auto index = forward.index.to_vector<uint8_t>();
  std::vector<double> expected_dx(in.size());
  size_t out = 0;
  for (int64_t n = 0; n < shape[0]; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t q = 0; q < columns; ++q) {
        for (int64_t c = 0; c < shape[3]; ++c, ++out) {
          double best = -std::numeric_limits<double>::infinity();
          int64_t where = -1, source = -1;
          for (int64_t t = 0; t < options.window * options.window; ++t) {
            const int64_t h = r * options.stride - options.padding + t / options.window;
            const int64_t w = q * options.stride - options.padding + t % options.window;
            if (h < 0 || h >= shape[1] || w < 0 || w >= shape[2]) continue;
            const int64_t at = ((n * shape[1] + h) * shape[2] + w) * shape[3] + c;
            if (in[static_cast<size_t>(at)] > best) {
              best = in[static_cast<size_t>(at)];
              where = t;
              source = at;
            }
          }
          ASSERT_EQ(y[out], best) << out;
          ASSERT_EQ(index[out], where) << out;
          expected_dx[static_cast<size_t>(source)] += g[out];
        }
      }
    }
  }
  for (size_t i = 0; i < dx.size(); ++i) {
    ASSERT_NEAR(dx[i], expected_dx[i], 1e-5 + rounding(dtype) * std::abs(expected_dx[i])) << i;
  }
}

TEST(MaxPool2dNan, WinsOverEverythingBeforeAndAfter) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::from(std::vector<float>{1.0f, nan, 5.0f, 2.0f}, {1, 2, 2, 1});
  const auto forward = backend(Device::cpu).max_pool2d(x, {2, 2, 0});
  EXPECT_TRUE(std::isnan(forward.y.item()));
  EXPECT_EQ(forward.index.to_vector<uint8_t>().front(), 1);
}

TEST(MaxPool2dInfinity, OfAllMinusInfinityIsTheFirstPixel) {
  const Tensor x = Tensor::full({1, 3, 3, 2}, -std::numeric_limits<float>::infinity());
  const auto forward = backend(Device::cpu).max_pool2d(x, {3, 2, 1});
  const auto index = forward.index.to_vector<uint8_t>();
  EXPECT_EQ(index[0], 4);  // the window's first pixel inside the image
  for (const double v : values_of(forward.y)) EXPECT_EQ(v, -std::numeric_limits<double>::infinity());
}

TEST(GlobalAvgPool, IsTheMeanAndSpreadsItsGradient) {
  Backend& cpu = backend(Device::cpu);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 17}, Shape{3, 7, 7, 300}, Shape{1, 40, 50, 6},
                             Shape{2, 2, 2, 513}}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      const Tensor x = normal(shape, 3, dtype, 1.0);
      const auto in = values_of(x);
      const auto y = values_of(cpu.global_avg_pool(x));
      const Tensor dy = normal({shape[0], shape[3]}, 4, dtype);
      const auto g = values_of(dy);
      const auto dx = values_of(cpu.global_avg_pool_backward(dy, shape));
      const int64_t pixels = shape[1] * shape[2], channels = shape[3];
      for (int64_t n = 0; n < shape[0]; ++n) {
        for (int64_t c = 0; c < channels; ++c) {
          const size_t out = static_cast<size_t>(n * channels + c);
          const double share = g[out] / static_cast<double>(pixels);
          double sum = 0.0;
          for (int64_t p = 0; p < pixels; ++p) {
            const size_t at = static_cast<size_t>((n * pixels + p) * channels + c);
            sum += in[at];
            ASSERT_NEAR(dx[at], share, 1e-7 + (rounding(dtype) + 1e-6) * std::abs(share));
          }
          const double mean = sum / static_cast<double>(pixels);
          ASSERT_NEAR(y[out], mean, 1e-6 + (rounding(dtype) + 1e-6) * std::abs(mean));
        }
      }
    }
  }
}

}  // namespace
}  // namespace cytograd
