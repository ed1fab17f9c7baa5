// Optimizer steps and norms on Device::cuda are the CPU's, which optimizer_test holds against PyTorch: for many tensors
// of all sizes and types at once, and where gradients are not finite.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/backend.h"
#include "kernels/optimizer.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::under_schedules;
using test::values_of;

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

/// None at all, tails of every kind, whole chunks (of 8192), one element more and less, several chunks.
std::vector<int64_t> sizes() {
  std::vector<int64_t> sizes{0, 1, 3, 7, 8, 9, 8191, 8192, 8193, 0, 20000, 24576};
  for (int64_t i = 0; i < 12; ++i) sizes.push_back(64 + i);
  return sizes;
}

/// The terms of an optimizer, on the CPU. Gradients come in all types.
std::vector<OptimizerTerm> draw_terms(const std::vector<int64_t>& counts) {
  std::vector<OptimizerTerm> terms;
  for (const int64_t count : counts) {
    const auto i = static_cast<uint64_t>(terms.size());
    OptimizerTerm term{.w = normal({count}, 4 * i),
                       .dw = normal({count}, 4 * i + 1, kTypes[i % 3]),
                       .first = normal({count}, 4 * i + 2),
                       .second = normal({count}, 4 * i + 3),
                       .weight_decay = i % 2 == 0 ? 0.0f : 0.1f};
    for (int64_t j = 0; j < count; ++j) term.second.data<float>()[j] = std::abs(term.second.data<float>()[j]);
    terms.push_back(term);
  }
  return terms;
}

std::vector<OptimizerTerm> copies(const std::vector<OptimizerTerm>& terms, Device device) {
  std::vector<OptimizerTerm> result;
  for (const OptimizerTerm& t : terms)
    result.push_back({t.w.clone().to(device), t.dw.to(device), t.first.clone().to(device),
                      t.second.clone().to(device), t.weight_decay});
  return result;
}

/// The scalars of a step that is taken with this factor. It is AdamW's `t`-th, with the betas of `rules`.
StepState step_state(Device device, float learning_rate, float factor, int64_t t = 1,
                     const StepRules& rules = {}) {
  const StepState on_cpu(Device::cpu);
  const StepScalars scalars = on_cpu.scalars();
  Tensor(on_cpu.learning_rate).copy_from(Tensor::full({}, learning_rate));
  *scalars.steps = t - 1;
  *scalars.loss_scale = 1.0f / factor;
  begin_step(scalars, 1.0, rules);
  StepState result(device);
  result.learning_rate.copy_from(on_cpu.learning_rate);
  result.factor.copy_from(on_cpu.factor);
  result.adamw.copy_from(on_cpu.adamw);
  return result;
}

/// {norm, factor} of a step that begins with a loss scale of 1.
std::vector<float> clip_norm(Device device, const std::vector<Tensor>& gradients, float max_norm) {
  const StepState state(device);
  backend(device).begin_step(gradients, state, {.max_norm = max_norm});
  return {state.norm.item(), state.factor.item()};
}

/// What a step changes, one after another.
std::vector<double> values_of_terms(const std::vector<OptimizerTerm>& terms) {
  std::vector<double> all;
  for (const OptimizerTerm& t : terms) {
    for (const Tensor* part : {&t.w, &t.first, &t.second}) {
      const auto values = values_of(part->to(Device::cpu));
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  return all;
}

void expect_near(const std::vector<double>& values, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i], tolerance * (1.0 + std::abs(expected[i]))) << i;
}

// Some operations on numbers of order 1, which compilers may fuse in different ways: a few units of 2^-24.
constexpr double kTolerance = 1e-6;

class OptimizerCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }

  /// step(device, terms) does on the GPU what it does on the CPU.
  template <typename Step>
  static void expect_as_on_cpu(const std::vector<int64_t>& counts, const Step& step) {
    const auto terms = draw_terms(counts);
    const auto on_cpu = copies(terms, Device::cpu);
    step(Device::cpu, on_cpu);
    std::vector<double> first;
    under_schedules([&](const std::string& schedule) {
      const auto on_cuda = copies(terms, Device::cuda);
      step(Device::cuda, on_cuda);
      const auto values = values_of_terms(on_cuda);
      expect_near(values, values_of_terms(on_cpu), kTolerance);
      if (first.empty()) first = values;
      EXPECT_EQ(values, first) << "depends on the order of threads: " << schedule;
    });
  }
};

TEST_F(OptimizerCuda, Sgd) {
  for (const SgdOptions& options : {SgdOptions{.momentum = 0.0f}, SgdOptions{.momentum = 0.9f},
                                    SgdOptions{.momentum = 0.9f, .nesterov = true}}) {
    expect_as_on_cpu(sizes(), [&](Device device, const auto& terms) {
      backend(device).sgd_step(terms, step_state(device, 0.1f, 0.25f), options);
    });
  }
}

TEST_F(OptimizerCuda, SgdWithoutMomentumNeedsNoMoments) {
  const Tensor w = Tensor::full({5}, 1.0f, DType::f32, Device::cuda);
  const Tensor dw = Tensor::full({5}, 2.0f, DType::f32, Device::cuda);
  const std::vector<OptimizerTerm> terms{{.w = w, .dw = dw, .first = {}, .second = {}}};
  backend(Device::cuda).sgd_step(terms, step_state(Device::cuda, 0.25f, 0.5f), {.momentum = 0.0f});
  EXPECT_EQ(w.to_vector<float>(), std::vector<float>(5, 0.75f));
}

TEST_F(OptimizerCuda, Adamw) {
  for (const int64_t t : {1, 100}) {
    expect_as_on_cpu(sizes(), [&](Device device, const auto& terms) {
      backend(device).adamw_step(terms, step_state(device, 0.01f, 0.25f, t, {.beta1 = 0.8f, .beta2 = 0.95f}),
                                 {.beta1 = 0.8f, .beta2 = 0.95f});
    });
  }
}

TEST_F(OptimizerCuda, AStepThatIsNotTakenChangesNothing) {
  const auto terms = copies(draw_terms(sizes()), Device::cuda);
  const auto before = values_of_terms(terms);
  StepState state = step_state(Device::cuda, 0.1f, 0.25f);
  state.factor.copy_from(Tensor::zeros({}));
  for (const float momentum : {0.0f, 0.9f})
    backend(Device::cuda).sgd_step(terms, state, {.momentum = momentum});
  backend(Device::cuda).adamw_step(terms, state, {});
  EXPECT_EQ(values_of_terms(terms), before);
}

TEST_F(OptimizerCuda, Ema) {
  expect_as_on_cpu(sizes(), [&](Device device, const auto& terms) {
    std::vector<Backend::EmaTerm> averages;
    for (const OptimizerTerm& t : terms) averages.push_back({t.first, t.w});
    backend(device).ema_step(averages, Tensor::full({}, 0.75f, DType::f32, device));
  });
}

// More tensors than a block has threads to look for its own.
TEST_F(OptimizerCuda, ManyTensors) {
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < 600; ++i) counts.push_back(i % 5);
  counts[255] = counts[256] = counts[512] = 9000;
  expect_as_on_cpu(counts, [&](Device device, const auto& terms) {
    backend(device).sgd_step(terms, step_state(device, 0.1f, 0.25f), {.momentum = 0.9f});
  });
}

TEST_F(OptimizerCuda, NoTensorsAtAll) {
  Backend& device = backend(Device::cuda);
  device.adamw_step({}, StepState(Device::cuda), {});
  device.ema_step({}, Tensor::full({}, 0.5f, DType::f32, Device::cuda));
  EXPECT_EQ(clip_norm(Device::cuda, {}, 2.0f), (std::vector<float>{0.0f, 1.0f}));
}

// Sixty steps with and without overflow, an interval's end among them.
TEST_F(OptimizerCuda, TheScalarsOfManyStepsAreTheCpus) {
  const StepRules rules{.max_norm = 2.0f, .beta1 = 0.9f, .beta2 = 0.999f, .dynamic_loss_scale = true};
  const StepState on_cpu(Device::cpu), on_cuda(Device::cuda);
  for (const StepState* state : {&on_cpu, &on_cuda}) {
    Tensor(state->learning_rate).copy_from(Tensor::full({}, 0.1f));
    Tensor(state->loss_scale).copy_from(Tensor::full({}, 1024.0f));
    Tensor(state->steady).copy_from(Tensor::from(std::vector<int64_t>{kLossScaleInterval - 30}, {}));
  }
  for (uint64_t i = 0; i < 60; ++i) {
    Tensor dw = normal({1000}, i);
    if (i == 47) dw.data<float>()[500] = std::numeric_limits<float>::infinity();
    backend(Device::cpu).begin_step(std::vector<Tensor>{dw}, on_cpu, rules);
    backend(Device::cuda).begin_step(std::vector<Tensor>{dw.to(Device::cuda)}, on_cuda, rules);
    for (const auto member :
         {&StepState::loss_scale, &StepState::norm, &StepState::factor, &StepState::adamw})
      EXPECT_EQ((on_cuda.*member).to_vector<float>(), (on_cpu.*member).to_vector<float>()) << i;
    for (const auto member : {&StepState::steady, &StepState::attempts, &StepState::steps})
      EXPECT_EQ((on_cuda.*member).to_vector<int64_t>(), (on_cpu.*member).to_vector<int64_t>()) << i;
  }
  EXPECT_EQ(on_cuda.loss_scale.item(), 1024.0f) << "doubled once and halved once";
  EXPECT_EQ(on_cuda.steps.to_vector<int64_t>().front(), 59);
  EXPECT_EQ(on_cuda.attempts.to_vector<int64_t>().front(), 60);
}

TEST_F(OptimizerCuda, ClipNorm) {
  std::vector<Tensor> on_cpu, on_cuda;
  for (const OptimizerTerm& t : draw_terms(sizes())) {
    on_cpu.push_back(t.dw);
    on_cuda.push_back(t.dw.to(Device::cuda));
  }
  for (const float max_norm : {0.0f, 2.0f, 1e9f}) {
    const auto expected = clip_norm(Device::cpu, on_cpu, max_norm);
    under_schedules([&](const std::string& schedule) {
      // Sums in f64: another order does not show.
      EXPECT_EQ(clip_norm(Device::cuda, on_cuda, max_norm), expected) << schedule;
    });
  }
}

TEST_F(OptimizerCuda, TheNormOfManyChunks) {
  const Tensor dw = normal({8192 * 300 + 5}, 1, DType::bf16);
  const std::vector<Tensor> on_cpu{dw}, on_cuda{dw.to(Device::cuda)};
  EXPECT_EQ(clip_norm(Device::cuda, on_cuda, 1.0f), clip_norm(Device::cpu, on_cpu, 1.0f));
}

TEST_F(OptimizerCuda, ANonFiniteGradientHasNoScale) {
  for (const DType dtype : kTypes) {
    for (const double bad :
         {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
          std::numeric_limits<double>::quiet_NaN()}) {
      for (const int64_t at : {0, 8192, 9000}) {
        std::vector<double> values(9001, 0.5);
        values[static_cast<size_t>(at)] = bad;
        const std::vector<Tensor> gradients{Tensor::full({3}, 1.0f, DType::f32, Device::cuda),
                                            test::tensor_of(values, {9001}, dtype).to(Device::cuda)};
        for (const float max_norm : {0.0f, 1.0f}) {
          const auto clip = clip_norm(Device::cuda, gradients, max_norm);
          EXPECT_FALSE(std::isfinite(clip[0]));
          EXPECT_EQ(std::isnan(clip[0]), std::isnan(bad));
          EXPECT_EQ(clip[1], 0.0f);
        }
      }
    }
  }
}

TEST_F(OptimizerCuda, ANormBeyondF32IsInfiniteAndASquareIsNot) {
  for (const double value : {3e38, 1e25}) {  // the second's square is beyond f32, its norm is not
    const std::vector<Tensor> on_cpu{test::tensor_of({value, value, value, value}, {4})};
    const std::vector<Tensor> on_cuda{on_cpu[0].to(Device::cuda)};
    const auto norm = clip_norm(Device::cuda, on_cuda, 1.0f);
    EXPECT_EQ(norm, clip_norm(Device::cpu, on_cpu, 1.0f));
    EXPECT_EQ(std::isinf(norm[0]), value > 1e38);
    EXPECT_EQ(norm[1] == 0.0f, value > 1e38);
  }
}

// Kernels take any address: each array, one after another, starts an element past a multiple of 16 bytes.
TEST_F(OptimizerCuda, UnalignedArrays) {
  constexpr int64_t kCount = 8200;
  const std::vector<OptimizerTerm> expected = draw_terms({kCount});
  const auto terms = copies(expected, Device::cpu);
  const StepRules rules{.beta1 = 0.9f, .beta2 = 0.999f};
  backend(Device::cpu).adamw_step(expected, step_state(Device::cpu, 1e-3f, 0.25f, 1, rules), {});
  const device::StreamHandle stream;
  for (int shifted = 0; shifted < 4; ++shifted) {
    under_schedules([&](const std::string&) {
      std::vector<Tensor> arrays;  // one element more at both ends, which must keep its value
      for (const Tensor* part : {&terms[0].w, &terms[0].dw, &terms[0].first, &terms[0].second}) {
        std::vector<double> values = values_of(*part);
        const size_t ends = arrays.size() == static_cast<size_t>(shifted) ? 1 : 0;
        values.insert(values.begin(), ends, -7.0);
        values.push_back(-7.0);
        arrays.push_back(
            test::tensor_of(values, {static_cast<int64_t>(values.size())}, part->dtype()).to(Device::cuda));
      }
      const auto array = [&](int i) {
        return arrays[static_cast<size_t>(i)].data<float>() + (i == shifted ? 1 : 0);
      };
      StepTerm term{.w = array(0), .x = array(1), .first = array(2), .second = array(3), .count = kCount};
      const int64_t chunks = number_chunks(&term, 1);
      const StepState state = step_state(Device::cuda, 1e-3f, 0.25f, 1, rules);
      Tensor table = Tensor::empty({static_cast<int64_t>(sizeof(term))}, DType::u8, Device::cuda);
      backend(Device::cuda).synchronize();
      device::copy(table.raw(), &term, sizeof(term), stream.get());
      launch_adamw({.table = {static_cast<const StepTerm*>(table.raw()), 1, chunks},
                    .scalars = state.scalars(),
                    .beta1 = 0.9f,
                    .beta2 = 0.999f,
                    .epsilon = 1e-8f},
                   stream.get());
      device::synchronize(stream.get());
      const Tensor* const results[] = {&expected[0].w, nullptr, &expected[0].first, &expected[0].second};
      for (int i = 0; i < 4; ++i) {
        auto values = values_of(arrays[static_cast<size_t>(i)].to(Device::cpu));
        EXPECT_EQ(values.back(), -7.0);
        values.pop_back();
        if (i == shifted) {
          EXPECT_EQ(values.front(), -7.0);
          values.erase(values.begin());
        }
        if (results[i] != nullptr) expect_near(values, values_of(*results[i]), kTolerance);
      }
    });
  }
}

TEST_F(OptimizerCuda, RefusesTermsThatDoNotFit) {
  Backend& device = backend(Device::cuda);
  const auto zeros = [](const Shape& shape, DType dtype = DType::f32, Device on = Device::cuda) {
    return Tensor::zeros(shape, dtype, on);
  };
  const StepState state = step_state(Device::cuda, 0.1f, 1.0f);
  const auto sgd = [&](const OptimizerTerm& term) {
    device.sgd_step(std::vector<OptimizerTerm>{term}, state, {.momentum = 0.9f});
  };
  const OptimizerTerm good{zeros({4}), zeros({4}), zeros({4}), {}};
  sgd(good);
  OptimizerTerm bad = good;
  bad.dw = zeros({5});
  EXPECT_THROW(sgd(bad), CheckError);
  bad.dw = zeros({4}, DType::i64);
  EXPECT_THROW(sgd(bad), Error);
  bad = good;
  bad.w = zeros({4}, DType::bf16);
  EXPECT_THROW(sgd(bad), CheckError);
  bad = good;
  bad.first = {};
  EXPECT_THROW(sgd(bad), CheckError);
  bad.first = zeros({4}, DType::f32, Device::cpu);
  EXPECT_THROW(sgd(bad), CheckError);
  EXPECT_THROW(device.sgd_step(std::vector<OptimizerTerm>{good}, StepState(Device::cpu), {}), CheckError);
  EXPECT_THROW(device.ema_step({}, zeros({2})), CheckError);
  sgd(good);
}

}  // namespace
}  // namespace cytograd
