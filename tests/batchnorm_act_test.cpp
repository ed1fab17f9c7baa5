#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/batchnorm_layer.h"

namespace cytograd {
namespace {

using Case = test::BatchnormCase;
using Layer = test::BatchnormLayer;
using test::normal;
using test::rounding;
using test::tensor_of;
using test::Threads;
using test::values_of;

/// The maths in f64, a channel at a time.
struct Reference {
  std::vector<double> y, mean, var, dx, dgamma, dbeta, g;

  Reference(const Layer& layer, bool train) {
    const auto x = values_of(layer.arguments.x);
    const auto gamma = values_of(layer.arguments.gamma);
    const auto beta = values_of(layer.arguments.beta);
    const auto dy = values_of(layer.dy);
    const auto residual = layer.arguments.residual.defined() ? values_of(layer.arguments.residual)
                                                             : std::vector<double>(x.size());
    const size_t channels = gamma.size();
    const double rows = static_cast<double>(x.size() / channels);
    y = dx = g = std::vector<double>(x.size());
    mean = var = dgamma = dbeta = std::vector<double>(channels);
    if (!train) {
      mean = values_of(layer.arguments.running_mean);
      var = values_of(layer.arguments.running_var);
    }
    for (size_t c = 0; c < channels; ++c) {
      if (train) {
        for (size_t i = c; i < x.size(); i += channels) mean[c] += x[i] / rows;
        for (size_t i = c; i < x.size(); i += channels) var[c] += (x[i] - mean[c]) * (x[i] - mean[c]) / rows;
      }
      const double inv_std = 1.0 / std::sqrt(var[c] + static_cast<double>(layer.options.epsilon));
      for (size_t i = c; i < x.size(); i += channels) {
        const double xhat = (x[i] - mean[c]) * inv_std;
        const double v = xhat * gamma[c] + beta[c] + residual[i];
        const bool off = layer.options.relu && v <= 0.0;
        y[i] = off ? 0.0 : v;
        g[i] = off ? 0.0 : dy[i];
        dbeta[c] += g[i];
        dgamma[c] += g[i] * xhat;
      }
      for (size_t i = c; i < x.size(); i += channels) {
        const double xhat = (x[i] - mean[c]) * inv_std;
        dx[i] = gamma[c] * inv_std * (g[i] - dbeta[c] / rows - xhat * dgamma[c] / rows);
      }
    }
  }
};

void expect_near(const Tensor& actual, const std::vector<double>& expected, double relative, double absolute,
                 const std::string& what) {
  const auto values = values_of(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], absolute + relative * std::abs(expected[i])) << what << " at " << i;
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<Shape> shapes{
      {2, 1},         {7, 3},     {2, 3, 5, 17},    {1, 9, 9, 64}, {33, 100}, {3, 2048}, {2, 7, 7, 2048},
      {4, 33, 31, 6}, {70000, 1}, {2, 150, 150, 3}, {1030, 130},   {3, 1025}, {5, 96}};
  for (const Shape& shape : shapes) {
    for (const bool relu : {false, true}) {
      for (const bool residual : {false, true}) all.push_back({shape, DType::f32, relu, residual});
    }
    for (const DType dtype : {DType::bf16, DType::f16}) all.push_back({shape, dtype, true, true});
  }
  return all;
}

class BatchnormAct : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Shapes, BatchnormAct, testing::ValuesIn(cases()));

TEST_P(BatchnormAct, TrainingIsTheFormula) {
  const Layer layer(GetParam());
  const Reference reference(layer, true);
  const auto mean_before = values_of(layer.arguments.running_mean);
  const auto var_before = values_of(layer.arguments.running_var);
  const auto forward = backend(Device::cpu).batchnorm_act_train(layer.arguments, layer.options);

  expect_near(forward.mean, reference.mean, 1e-6, 1e-6, "mean");
  std::vector<double> inv_std = reference.var;
  for (double& v : inv_std) v = 1.0 / std::sqrt(v + static_cast<double>(layer.options.epsilon));
  expect_near(forward.inv_std, inv_std, 2e-6, 0.0, "inv_std");
  // One rounding to the type, and f32 arithmetic whose terms reach 20.
  expect_near(forward.y, reference.y, rounding(GetParam().dtype) + 2e-5, 2e-5, "y");

  const double momentum = static_cast<double>(layer.options.momentum);
  const double rows = static_cast<double>(layer.rows());
  std::vector<double> mean = mean_before, var = var_before;
  for (size_t c = 0; c < mean.size(); ++c) {
    mean[c] = (1.0 - momentum) * mean[c] + momentum * reference.mean[c];
    var[c] = (1.0 - momentum) * var[c] + momentum * reference.var[c] * rows / (rows - 1.0);
  }
  expect_near(layer.arguments.running_mean, mean, 1e-6, 1e-6, "running mean");
  expect_near(layer.arguments.running_var, var, 5e-6, 1e-6, "running variance");
}

TEST_P(BatchnormAct, EvaluationUsesTheRunningStatistics) {
  const Layer layer(GetParam());
  const Tensor y = backend(Device::cpu).batchnorm_act_eval(layer.arguments, layer.options);
  expect_near(y, Reference(layer, false).y, rounding(GetParam().dtype) + 1e-6, 1e-5, "y");
}

TEST_P(BatchnormAct, BackwardIsTheGradient) {
  const Layer layer(GetParam());
  const Reference reference(layer, true);
  Backend& cpu = backend(Device::cpu);
  const auto forward = cpu.batchnorm_act_train(layer.arguments, layer.options);
  const auto gradient = cpu.batchnorm_act_backward(layer.dy, {},
                                                   {layer.arguments.x, layer.arguments.gamma, forward.mean,
                                                    forward.inv_std, forward.mask, GetParam().residual});
  const double rows = static_cast<double>(layer.rows());
  const double sums = 4e-7 * rows;  // as many f32 products of order 1, were every rounding to agree
  expect_near(gradient.dbeta, reference.dbeta, 1e-6, sums, "dbeta");
  expect_near(gradient.dgamma, reference.dgamma, 1e-5, sums, "dgamma");
  // Few rows: the variance may be far below 1, and inv_std multiplies the errors of x - mean.
  expect_near(gradient.dx, reference.dx, rounding(GetParam().dtype) + 1e-4, 2e-4, "dx");
  ASSERT_EQ(gradient.dresidual.defined(), GetParam().residual);
  if (GetParam().residual) expect_near(gradient.dresidual, reference.g, 0.0, 0.0, "dresidual");
}

TEST_P(BatchnormAct, BackwardOfTwoPartsIsThatOfTheirSum) {
  if (!GetParam().relu || !GetParam().residual) GTEST_SKIP() << "comes in one part";
  const Layer layer(GetParam());
  Backend& cpu = backend(Device::cpu);
  const auto forward = cpu.batchnorm_act_train(layer.arguments, layer.options);
  const Backend::BatchnormActSaved saved{layer.arguments.x, layer.arguments.gamma, forward.mean,
                                         forward.inv_std,   forward.mask,          true};
  const Tensor more = normal(layer.dy.shape(), 8, layer.dy.dtype());
  const auto expected = cpu.batchnorm_act_backward(cpu.add(layer.dy, more), {}, saved);
  const auto actual = cpu.batchnorm_act_backward(layer.dy, more, saved);
  const auto same = [](const Tensor& a, const Tensor& b, const char* what) {
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << what;
  };
  same(actual.dx, expected.dx, "dx");
  same(actual.dresidual, expected.dresidual, "dresidual");
  same(actual.dgamma, expected.dgamma, "dgamma");
  same(actual.dbeta, expected.dbeta, "dbeta");
}

TEST(BatchnormActStatistics, DoNotDependOnTheThreads) {
  const Layer layer({{3, 61, 67, 20}});
  Backend& cpu = backend(Device::cpu);
  const auto run = [&](int threads) {
    const Threads scope(threads);
    auto arguments = layer.arguments;
    arguments.running_mean = arguments.running_mean.clone();
    arguments.running_var = arguments.running_var.clone();
    const auto forward = cpu.batchnorm_act_train(arguments, layer.options);
    const auto gradient = cpu.batchnorm_act_backward(
        layer.dy, {}, {arguments.x, arguments.gamma, forward.mean, forward.inv_std, forward.mask, true});
    return std::vector<Tensor>{forward.y,    forward.mean,         forward.inv_std, arguments.running_mean,
                               gradient.dx,  gradient.dgamma,      gradient.dbeta,  gradient.dresidual,
                               forward.mask, arguments.running_var};
  };
  const auto one = run(1);
  for (const int threads : {2, 3, 5}) {
    const auto many = run(threads);
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(std::memcmp(one[i].raw(), many[i].raw(), one[i].bytes()), 0) << threads << ", result " << i;
    }
  }
}

double var_of(double inv_std, const Layer& layer) {
  return 1.0 / (inv_std * inv_std) - static_cast<double>(layer.options.epsilon);
}

TEST(BatchnormActStatistics, SurviveALargeOffset) {
  for (const Shape& shape : {Shape{65536, 4}, Shape{300, 17}, Shape{70000, 1}}) {
    Layer layer({shape, DType::f32, false, false});
    layer.arguments.x = normal(shape, 11, DType::f32, 1e4, 1.0);
    const Reference reference(layer, true);
    const auto forward = backend(Device::cpu).batchnorm_act_train(layer.arguments, layer.options);
    expect_near(forward.mean, reference.mean, 1e-7, 0.0, "mean");
    const auto inv_std = values_of(forward.inv_std);
    for (size_t c = 0; c < inv_std.size(); ++c) {
      EXPECT_NEAR(var_of(inv_std[c], layer), reference.var[c], 1e-5 * reference.var[c]) << c;
    }
    // x itself is known to 5e-4 of its deviation.
    expect_near(forward.y, reference.y, 1e-3, 2e-3, "y");
  }
}

TEST(BatchnormActStatistics, SurviveABlankStartBeforeFarValues) {
  // The rows that set a chunk's shift say nothing of the rest: 16 zeros, then 1e4 +- 1.
  const int64_t rows = 4000;
  Layer layer({{rows, 1}, DType::f32, false, false});
  layer.arguments.x = normal({rows, 1}, 12, DType::f32, 1e4, 1.0);
  std::fill_n(layer.arguments.x.data<float>(), 16, 0.0f);
  const Reference reference(layer, true);
  const auto forward = backend(Device::cpu).batchnorm_act_train(layer.arguments, layer.options);
  const double inv_std = values_of(forward.inv_std)[0];
  EXPECT_NEAR(var_of(inv_std, layer), reference.var[0], 3e-5 * reference.var[0]);
}

TEST(BatchnormActStatistics, ConstantChannelHasNoVariance) {
  Layer layer({{100, 5}, DType::f32, false, false});
  layer.arguments.x = Tensor::full({100, 5}, 3.25f);
  const auto forward = backend(Device::cpu).batchnorm_act_train(layer.arguments, layer.options);
  for (const double v : values_of(forward.inv_std)) EXPECT_NEAR(v, 1.0 / std::sqrt(1e-5), 1e-4);
}

TEST(BatchnormActNan, StaysInItsChannelAndIsNotHidden) {
  Layer layer({{40, 3}, DType::f32, true, false});
  layer.arguments.x.data<float>()[3 * 7 + 1] = std::numeric_limits<float>::quiet_NaN();
  const auto y = values_of(backend(Device::cpu).batchnorm_act_train(layer.arguments, layer.options).y);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i % 3 == 1) << i;
}

}  // namespace
}  // namespace cytograd
