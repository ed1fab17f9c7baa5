// Batch norm on Device::cuda where the op table is thin: against the CPU over many shapes, and the same bits whatever
// order threads run in and however the arrays are aligned.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/batchnorm_act.h"
#include "tests/support/batchnorm_layer.h"
#include "tests/support/schedules.h"

namespace cytograd {
namespace {

using Case = test::BatchnormCase;
using Layer = test::BatchnormLayer;
using test::normal;
using test::rounding;
using test::tensor_of;
using test::under_schedules;

std::vector<double> values_of(const Tensor& t) { return test::values_of(t.to(Device::cpu)); }

std::vector<uint8_t> bytes_of(const Tensor& t) {
  const Tensor host = t.to(Device::cpu);
  const auto* p = static_cast<const uint8_t*>(host.raw());
  return {p, p + host.bytes()};
}

/// Copies on the device: training updates the running statistics in place.
Backend::BatchnormActArguments arguments_on(Device device, const Layer& layer) {
  const auto copy = [&](const Tensor& t) { return t.defined() ? t.clone().to(device) : Tensor(); };
  return {copy(layer.arguments.x),           copy(layer.arguments.gamma),
          copy(layer.arguments.beta),        copy(layer.arguments.running_mean),
          copy(layer.arguments.running_var), copy(layer.arguments.residual)};
}

struct Results {
  Backend::BatchnormActForward forward;
  Tensor running_mean, running_var, evaluated;
  Backend::BatchnormActBackward backward;

  std::vector<std::pair<std::string, Tensor>> named() const {
    std::vector<std::pair<std::string, Tensor>> all{{"y", forward.y},
                                                    {"mean", forward.mean},
                                                    {"inv_std", forward.inv_std},
                                                    {"running_mean", running_mean},
                                                    {"running_var", running_var},
                                                    {"evaluated", evaluated},
                                                    {"dx", backward.dx},
                                                    {"dgamma", backward.dgamma},
                                                    {"dbeta", backward.dbeta}};
    if (backward.dresidual.defined()) all.emplace_back("dresidual", backward.dresidual);
    return all;
  }
};

Results run(const Layer& layer, Device device) {
  Backend& on = backend(device);
  const Backend::BatchnormActArguments arguments = arguments_on(device, layer);
  Results results;
  results.evaluated = on.batchnorm_act_eval(arguments, layer.options);
  results.forward = on.batchnorm_act_train(arguments, layer.options);
  results.running_mean = arguments.running_mean;
  results.running_var = arguments.running_var;
  results.backward =
      on.batchnorm_act_backward(layer.dy.to(device), {},
                                {arguments.x, arguments.gamma, results.forward.mean, results.forward.inv_std,
                                 results.forward.mask, arguments.residual.defined()});
  return results;
}

/// The results on the device, which are the same under all schedules.
Results run_under_schedules(const Layer& layer) {
  Results first;
  under_schedules([&](const std::string& schedule) {
    const Results now = run(layer, Device::cuda);
    if (!first.forward.y.defined()) first = now;
    for (size_t i = 0; i < now.named().size(); ++i) {
      const Tensor a = first.named()[i].second.to(Device::cpu), b = now.named()[i].second.to(Device::cpu);
      EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << now.named()[i].first << ", " << schedule;
    }
  });
  return first;
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double relative,
                 double absolute, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], absolute + relative * std::abs(expected[i])) << what << " at " << i;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  // One kernel for few rows: fewer than a warp has threads; a lone channel; channels in eights with fours or ones left;
  // as many as a block keeps of f32 and of 16 bits. Three for more: a lone channel; channels in eights that fill a part
  // of a block; several blocks side by side, the last almost empty, with rows for several turns of each.
  const std::vector<Shape> shapes{{2, 1},     {3, 8},     {7, 3},          {5, 24},    {2, 264},
                                  {3, 1028},  {9, 520},   {1543, 24},      {2048, 8},  {4096, 9},
                                  {70000, 1}, {4099, 17}, {2, 33, 63, 40}, {4100, 264}};
  for (const Shape& shape : shapes) {
    for (const bool relu : {false, true}) {
      for (const bool residual : {false, true}) all.push_back({shape, DType::f32, relu, residual});
    }
    for (const DType dtype : {DType::bf16, DType::f16}) all.push_back({shape, dtype, true, true});
  }
  return all;
}

class BatchnormActCuda : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};
INSTANTIATE_TEST_SUITE_P(Shapes, BatchnormActCuda, testing::ValuesIn(cases()));

TEST_P(BatchnormActCuda, AgreesWithTheCpu) {
  const Layer layer(GetParam());
  const Results expected = run(layer, Device::cpu);
  const Results actual = run_under_schedules(layer);
  const double rows = static_cast<double>(layer.rows());
  const auto near = [&](const Tensor& a, const Tensor& b, double relative, double absolute,
                        const char* what) {
    expect_near(values_of(a), values_of(b), relative, absolute, what);
  };
  const double ulp = 2.0 * rounding(GetParam().dtype);  // either side rounds once
  near(actual.forward.mean, expected.forward.mean, 1e-6, 1e-6, "mean");
  near(actual.forward.inv_std, expected.forward.inv_std, 2e-5, 0.0, "inv_std");
  near(actual.running_mean, expected.running_mean, 1e-6, 1e-6, "running mean");
  near(actual.running_var, expected.running_var, 1e-5, 0.0, "running variance");
  near(actual.forward.y, expected.forward.y, ulp + 2e-5, 2e-5, "y");
  near(actual.evaluated, expected.evaluated, ulp + 1e-6, 1e-5, "y of evaluation");
  near(actual.backward.dbeta, expected.backward.dbeta, 1e-5, 4e-7 * rows, "dbeta");
  near(actual.backward.dgamma, expected.backward.dgamma, 1e-4, 4e-7 * rows, "dgamma");
  // Few rows: the variance may be far below 1, and inv_std multiplies the errors of x - mean.
  near(actual.backward.dx, expected.backward.dx, ulp + 1e-4, 2e-4, "dx");
  ASSERT_EQ(actual.backward.dresidual.defined(), GetParam().residual);
  if (GetParam().residual)
    near(actual.backward.dresidual, expected.backward.dresidual, 0.0, 0.0, "dresidual");
}

TEST_P(BatchnormActCuda, BackwardOfTwoPartsIsThatOfTheirSum) {
  if (!GetParam().relu || !GetParam().residual) GTEST_SKIP() << "comes in one part";
  const Layer layer(GetParam());
  Backend& on = backend(Device::cuda);
  const Backend::BatchnormActArguments arguments = arguments_on(Device::cuda, layer);
  const auto forward = on.batchnorm_act_train(arguments, layer.options);
  const Backend::BatchnormActSaved saved{arguments.x,     arguments.gamma, forward.mean,
                                         forward.inv_std, forward.mask,    true};
  const Tensor dy = layer.dy.to(Device::cuda),
               more = normal(layer.dy.shape(), 8, layer.dy.dtype()).to(Device::cuda);
  const auto bits = [](const Backend::BatchnormActBackward& backward) {
    std::vector<std::vector<uint8_t>> all;
    for (const Tensor& t : {backward.dx, backward.dresidual, backward.dgamma, backward.dbeta})
      all.push_back(bytes_of(t));
    return all;
  };
  const auto expected = bits(on.batchnorm_act_backward(on.add(dy, more), {}, saved));
  under_schedules([&](const std::string& schedule) {
    EXPECT_EQ(bits(on.batchnorm_act_backward(dy, more, saved)), expected) << schedule;
  });
}

class BatchnormActCudaDetails : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }

  static double variance_of(const std::vector<double>& x, size_t channel, size_t channels) {
    double mean = 0.0, m2 = 0.0;
    const double rows = static_cast<double>(x.size() / channels);
    for (size_t i = channel; i < x.size(); i += channels) mean += x[i] / rows;
    for (size_t i = channel; i < x.size(); i += channels) m2 += (x[i] - mean) * (x[i] - mean);
    return m2 / rows;
  }
};

TEST_F(BatchnormActCudaDetails, MaskHasABitForEachElementThatTheReluLetsThrough) {
  for (const Shape& shape :
       {Shape{70, 1}, Shape{61, 24}, Shape{33, 35}, Shape{300, 264}, Shape{2100, 24}, Shape{2100, 35}}) {
    const Layer layer({shape});
    const Results results = run(layer, Device::cuda);
    const auto y = results.forward.y.to_vector<float>();
    const auto mask = results.forward.mask.to_vector<uint8_t>();
    const auto channels = static_cast<size_t>(layer.channels());
    const size_t bytes = (channels + 7) / 8;
    ASSERT_EQ(mask.size(), bytes * static_cast<size_t>(layer.rows()));
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t row = i / channels, c = i % channels;
      ASSERT_EQ(mask[row * bytes + c / 8] >> (c % 8) & 1, y[i] > 0.0f ? 1 : 0)
          << "row " << row << ", channel " << c;
    }
    for (size_t last = bytes - 1; channels % 8 != 0 && last < mask.size(); last += bytes)
      ASSERT_EQ(mask[last] >> (channels % 8), 0) << "beyond the last channel";
  }
}

TEST_F(BatchnormActCudaDetails, StatisticsSurviveALargeOffset) {
  for (const Shape& shape :
       {Shape{65536, 4}, Shape{300, 17}, Shape{2048, 8}, Shape{20000, 1}, Shape{4000, 8}}) {
    Layer layer({shape, DType::f32, false, false});
    layer.arguments.x = normal(shape, 11, DType::f32, 1e4, 1.0);
    const auto x = values_of(layer.arguments.x);
    const auto channels = static_cast<size_t>(layer.channels());
    const Results results = run(layer, Device::cuda);
    const auto mean = values_of(results.forward.mean), inv_std = values_of(results.forward.inv_std);
    for (size_t c = 0; c < channels; ++c) {
      double expected = 0.0;
      for (size_t i = c; i < x.size(); i += channels)
        expected += x[i] / static_cast<double>(x.size() / channels);
      EXPECT_NEAR(mean[c], expected, 1e-7 * expected) << c;
      const double variance = variance_of(x, c, channels);
      EXPECT_NEAR(1.0 / (inv_std[c] * inv_std[c]), variance, 2e-5 * variance) << c;
    }
  }
}

TEST_F(BatchnormActCudaDetails, StatisticsSurviveABlankStartBeforeFarValues) {
  // The first rows, which threads and blocks count from, say nothing of the rest.
  for (const int64_t rows : {2000, 4000}) {
    for (const int64_t blank : {1, 16, 300}) {
      Layer layer({{rows, 1}, DType::f32, false, false});
      layer.arguments.x = normal({rows, 1}, 12, DType::f32, 1e4, 1.0);
      std::fill_n(layer.arguments.x.data<float>(), blank, 0.0f);
      const double inv_std = values_of(run(layer, Device::cuda).forward.inv_std)[0];
      const double variance = variance_of(values_of(layer.arguments.x), 0, 1);
      EXPECT_NEAR(1.0 / (inv_std * inv_std), variance, 1e-5 * variance) << rows << ", " << blank;
    }
  }
}

TEST_F(BatchnormActCudaDetails, ConstantChannelHasNoVariance) {
  for (const int64_t rows : {300, 3000}) {
    Layer layer({{rows, 5}, DType::f32, false, false});
    layer.arguments.x = Tensor::full({rows, 5}, 3.3f);
    const Results results = run(layer, Device::cuda);
    for (const double v : values_of(results.forward.inv_std)) EXPECT_NEAR(v, 1.0 / std::sqrt(1e-5), 1e-4);
    for (const double v : values_of(results.forward.mean)) EXPECT_EQ(v, static_cast<double>(3.3f));
  }
}

TEST_F(BatchnormActCudaDetails, RunningStatisticsMoveByTheMomentumAndTakeTheUnbiasedVariance) {
  Layer layer({{4, 2}, DType::f32, false, false});
  layer.arguments.x = tensor_of({1.0, 10.0, 3.0, 10.0, 1.0, 12.0, 3.0, 12.0}, {4, 2});
  layer.arguments.running_mean = tensor_of({8.0, 0.0}, {2});
  layer.arguments.running_var = tensor_of({4.0, 1.0}, {2});
  layer.options.momentum = 0.25f;
  const Results results = run(layer, Device::cuda);
  EXPECT_EQ(values_of(results.running_mean), (std::vector<double>{6.5, 2.75}));
  const double unbiased = 4.0 / 3.0;
  expect_near(values_of(results.running_var), {3.0 + 0.25 * unbiased, 0.75 + 0.25 * unbiased}, 1e-7, 0.0,
              "variance");
}

TEST_F(BatchnormActCudaDetails, ABatchIsCountedOnce) {
  for (const int64_t rows : {40, 4100}) {
    const Layer layer({{rows, 24}});
    Backend::BatchnormActArguments arguments = arguments_on(Device::cuda, layer);
    arguments.batches_tracked = Tensor::full({}, 6.0f, DType::i64, Device::cuda);
    backend(Device::cuda).batchnorm_act_train(arguments, layer.options);
    EXPECT_EQ(arguments.batches_tracked.to_vector<int64_t>(), std::vector<int64_t>{7}) << rows;
  }
}

TEST_F(BatchnormActCudaDetails, NanStaysInItsChannelAndPassesTheRelu) {
  for (const int64_t rows : {40, 4100}) {
    for (const int64_t channels : {3, 16}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        Layer layer({{rows, channels}, dtype, true, true});
        auto x = values_of(layer.arguments.x);
        x[static_cast<size_t>(channels * 7 + 1)] = std::numeric_limits<double>::quiet_NaN();
        layer.arguments.x = tensor_of(x, {rows, channels}, dtype);
        const Results results = run(layer, Device::cuda);
        const auto y = values_of(results.forward.y), evaluated = values_of(results.evaluated);
        const auto dresidual = values_of(results.backward.dresidual), dy = values_of(layer.dy);
        for (size_t i = 0; i < y.size(); ++i) {
          const bool hit = i % static_cast<size_t>(channels) == 1;
          ASSERT_EQ(std::isnan(y[i]), hit) << i;
          ASSERT_EQ(std::isnan(evaluated[i]), i == static_cast<size_t>(channels * 7 + 1)) << i;
          if (hit) {
            ASSERT_EQ(dresidual[i], dy[i]) << i;
          }
        }
      }
    }
  }
}

// One kernel, that asks for more shared memory the more rows it has: what is captured later takes none away.
TEST_F(BatchnormActCudaDetails, LayersOfManySizesAreCapturedTogether) {
  Backend& on = backend(Device::cuda);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<Backend::BatchnormActArguments> arguments;
    std::vector<Tensor> captured;
    for (const int64_t rows : {2048, 64, 700}) {
      arguments.push_back(arguments_on(Device::cuda, Layer({{rows, 16}, dtype, true, true})));
      captured.push_back(Tensor::zeros({rows, 16}, dtype, Device::cuda));
    }
    const auto launch = on.capture([&] {
      for (size_t i = 0; i < arguments.size(); ++i)
        on.copy(captured[i], on.batchnorm_act_train(arguments[i], {.relu = true}).y);
    });
    on.batchnorm_act_train(arguments[1], {.relu = true});
    launch();
    for (size_t i = 0; i < arguments.size(); ++i)
      EXPECT_EQ(bytes_of(captured[i]), bytes_of(on.batchnorm_act_train(arguments[i], {.relu = true}).y)) << i;
  }
}

TEST_F(BatchnormActCudaDetails, EvaluationTakesOneRowOrNone) {
  for (const int64_t channels : {1, 7, 8, 300}) {
    const Layer layer({{1, channels}});
    const Backend::BatchnormActArguments arguments = arguments_on(Device::cuda, layer);
    expect_near(values_of(backend(Device::cuda).batchnorm_act_eval(arguments, layer.options)),
                values_of(backend(Device::cpu).batchnorm_act_eval(layer.arguments, layer.options)), 1e-6,
                1e-6, "y");
    auto none = arguments;
    none.x = none.residual = Tensor::empty({0, channels}, DType::f32, Device::cuda);
    EXPECT_EQ(backend(Device::cuda).batchnorm_act_eval(none, layer.options).elements(), 0);
  }
}

/// A device copy that begins `skip` bytes into its storage.
class DeviceArray {
 public:
  DeviceArray(const Tensor& host, int64_t skip) : skip_(skip) {
    const auto* bytes = static_cast<const uint8_t*>(host.raw());
    std::vector<uint8_t> all(static_cast<size_t>(skip), 0);
    all.insert(all.end(), bytes, bytes + host.bytes());
    storage_ = Tensor::from(all, {static_cast<int64_t>(all.size())}, Device::cuda);
  }
  void* raw() { return static_cast<uint8_t*>(storage_.raw()) + skip_; }
  float* f32() { return static_cast<float*>(raw()); }
  uint8_t* u8() { return static_cast<uint8_t*>(raw()); }
  std::vector<uint8_t> bytes() const {
    const auto all = storage_.to_vector<uint8_t>();
    return {all.begin() + skip_, all.end()};
  }
  Tensor tensor(const Shape& shape, DType dtype = DType::f32) const {
    const auto values = bytes();
    Tensor result = Tensor::empty(shape, dtype);
    std::memcpy(result.raw(), values.data(), values.size());
    return result;
  }

 private:
  int64_t skip_;
  Tensor storage_;
};

/// What the launchers make of a layer with residual and ReLU, with all arrays one element off where `shifted`.
struct Launched {
  DeviceArray evaluated, y, mean, inv_std, mask, running_mean, running_var, dx, dresidual, dgamma, dbeta;

  static Launched run(const Layer& layer, int64_t splits, bool shifted) {
    const DType dtype = layer.arguments.x.dtype();
    const int64_t rows = layer.rows(), channels = layer.channels();
    const auto array = [&](const Tensor& host) {
      return DeviceArray(host, shifted ? static_cast<int64_t>(size_of(host.dtype())) : 0);
    };
    const auto activation = [&] { return array(Tensor::zeros({rows, channels}, dtype)); };
    const auto parameter = [&] { return array(Tensor::zeros({channels})); };
    Launched l{activation(),
               activation(),
               parameter(),
               parameter(),
               array(Tensor::zeros({batchnorm_act_mask_bytes(rows, channels)}, DType::u8)),
               array(layer.arguments.running_mean),
               array(layer.arguments.running_var),
               activation(),
               activation(),
               parameter(),
               parameter()};
    DeviceArray x = array(layer.arguments.x), residual = array(layer.arguments.residual),
                dy = array(layer.dy);
    DeviceArray gamma = array(layer.arguments.gamma), beta = array(layer.arguments.beta);
    DeviceArray workspace = array(Tensor::zeros({batchnorm_act_workspace(rows, channels, splits)}));
    const ElementType type = dtype == DType::f32    ? ElementType::f32
                             : dtype == DType::bf16 ? ElementType::bf16
                                                    : ElementType::f16;
    backend(Device::cuda).synchronize();  // its stream has filled what the launches below read
    launch_batchnorm_act_eval({.x = x.raw(),
                               .residual = residual.raw(),
                               .gamma = gamma.f32(),
                               .beta = beta.f32(),
                               .mean = l.running_mean.f32(),
                               .variance = l.running_var.f32(),
                               .y = l.evaluated.raw(),
                               .rows = rows,
                               .channels = channels,
                               .epsilon = layer.options.epsilon,
                               .relu = true,
                               .type = type},
                              nullptr);
    launch_batchnorm_act_train({.x = x.raw(),
                                .residual = residual.raw(),
                                .gamma = gamma.f32(),
                                .beta = beta.f32(),
                                .running_mean = l.running_mean.f32(),
                                .running_var = l.running_var.f32(),
                                .mean = l.mean.f32(),
                                .inv_std = l.inv_std.f32(),
                                .y = l.y.raw(),
                                .mask = l.mask.u8(),
                                .workspace = workspace.f32(),
                                .rows = rows,
                                .channels = channels,
                                .splits = splits,
                                .epsilon = layer.options.epsilon,
                                .momentum = layer.options.momentum,
                                .type = type},
                               nullptr);
    launch_batchnorm_act_backward({.dy = dy.raw(),
                                   .x = x.raw(),
                                   .mask = l.mask.u8(),
                                   .gamma = gamma.f32(),
                                   .mean = l.mean.f32(),
                                   .inv_std = l.inv_std.f32(),
                                   .dx = l.dx.raw(),
                                   .dresidual = l.dresidual.raw(),
                                   .dgamma = l.dgamma.f32(),
                                   .dbeta = l.dbeta.f32(),
                                   .workspace = workspace.f32(),
                                   .rows = rows,
                                   .channels = channels,
                                   .splits = splits,
                                   .type = type},
                                  nullptr);
    device::synchronize(nullptr);
    return l;
  }
};

TEST_F(BatchnormActCudaDetails, UnalignedArraysGiveTheBitsOfAlignedOnes) {
  for (const int64_t rows : {173, 4100}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      const Layer layer({{rows, 72}, dtype, true, true});
      const Results aligned = run(layer, Device::cuda);
      const Launched shifted = Launched::run(layer, 0, true);
      EXPECT_EQ(shifted.evaluated.bytes(), bytes_of(aligned.evaluated));
      EXPECT_EQ(shifted.y.bytes(), bytes_of(aligned.forward.y));
      EXPECT_EQ(shifted.mask.bytes(), bytes_of(aligned.forward.mask));
      EXPECT_EQ(shifted.inv_std.bytes(), bytes_of(aligned.forward.inv_std));
      EXPECT_EQ(shifted.running_var.bytes(), bytes_of(aligned.running_var));
      EXPECT_EQ(shifted.dx.bytes(), bytes_of(aligned.backward.dx));
      EXPECT_EQ(shifted.dgamma.bytes(), bytes_of(aligned.backward.dgamma));
      EXPECT_EQ(shifted.dbeta.bytes(), bytes_of(aligned.backward.dbeta));
      EXPECT_EQ(shifted.dresidual.bytes(), bytes_of(aligned.backward.dresidual));
    }
  }
}

TEST_F(BatchnormActCudaDetails, AnyNumberOfPartsOfTheRowsHasTheSums) {
  // 8 rows a block at the least, and partial sums taken up 32 x 8 at a time.
  const Layer layer({{2500, 260}});
  const Results expected = run(layer, Device::cpu);
  for (const int64_t splits : {1, 7, 33, 257, 300, 100000}) {
    const Launched l = Launched::run(layer, splits, false);
    const auto near = [&](const DeviceArray& a, const Tensor& b, double relative, double absolute,
                          const char* what) {
      expect_near(values_of(a.tensor(b.shape(), b.dtype())), values_of(b), relative, absolute, what);
    };
    near(l.mean, expected.forward.mean, 1e-6, 1e-6, "mean");
    near(l.inv_std, expected.forward.inv_std, 1e-6, 0.0, "inv_std");
    near(l.running_var, expected.running_var, 1e-6, 0.0, "running variance");
    near(l.dgamma, expected.backward.dgamma, 1e-5, 1e-3, "dgamma");
    near(l.dbeta, expected.backward.dbeta, 1e-5, 1e-3, "dbeta");
    near(l.dx, expected.backward.dx, 1e-4, 1e-4, "dx");
  }
}

}  // namespace
}  // namespace cytograd
