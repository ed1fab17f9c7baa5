#include "engine/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/backend.h"
#include "engine/check.h"
#include "engine/philox.h"
#include "kernels/step_scalars.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

/// Two parameters, a [3] with decay and b [1, 2] without, and the gradients that gave the numbers of PyTorch.
struct Model {
  Variable a = Variable::leaf(Tensor::from(std::vector<float>{1.0f, -2.0f, 0.5f}, {3}));
  Variable b = Variable::leaf(Tensor::from(std::vector<float>{0.25f, -0.75f}, {1, 2}));

  std::vector<Parameter> parameters() { return {{"a", &a, true}, {"b", &b, false}}; }

  /// arange(n) * 0.5 - 0.3 * (step + 1) + 0.1 * parameter, times `scale`
  std::vector<Tensor> gradients(int step, float scale = 1.0f) const {
    std::vector<Tensor> result;
    for (const Variable* v : {&a, &b}) {
      std::vector<float> values(static_cast<size_t>(v->value().elements()));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] =
            (static_cast<float>(i) * 0.5f - 0.3f * static_cast<float>(step + 1) + (v == &b ? 0.1f : 0.0f)) *
            scale;
      result.push_back(Tensor::from(values, v->shape()));
    }
    return result;
  }

  std::vector<float> values() const {
    std::vector<float> all = a.value().to_vector<float>();
    for (const float v : b.value().to_vector<float>()) all.push_back(v);
    return all;
  }
};

/// A step at a learning rate; its norm.
float step(Optimizer& optimizer, const std::vector<Tensor>& gradients, float learning_rate,
           float clip = 0.0f) {
  optimizer.set_learning_rate(learning_rate);
  optimizer.step(gradients, clip);
  return optimizer.norm().item();
}

/// {norm, factor} of a step that begins with a loss scale of 1.
std::vector<float> clip_norm(const std::vector<Tensor>& gradients, float max_norm) {
  const StepState state(Device::cpu);
  backend(Device::cpu).begin_step(gradients, state, {.max_norm = max_norm});
  return {state.norm.item(), state.factor.item()};
}

void expect_near(const std::vector<float>& values, const std::vector<float>& expected, float tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << i;
}

// Five numbers of order 1 after four steps in f32: a few units of 2^-24 each.
constexpr float kTolerance = 1e-6f;

// PyTorch 2.15: four steps of torch.optim.SGD(w, lr=0.1, momentum=0.9[, nesterov=True]).
TEST(Sgd, IsPyTorchs) {
  Model plain;
  Optimizer sgd(plain.parameters(), {.kind = OptimizerKind::sgd, .momentum = 0.9f});
  for (int i = 0; i < 4; ++i) step(sgd, plain.gradients(i), 0.1f);
  expect_near(plain.values(), {1.55676997f, -1.89567995f, 0.151870042f, 0.716279984f, -0.736169994f},
              kTolerance);

  Model model;
  Optimizer nesterov(model.parameters(), {.kind = OptimizerKind::sgd, .momentum = 0.9f, .nesterov = true});
  for (int i = 0; i < 4; ++i) step(nesterov, model.gradients(i), 0.1f);
  expect_near(model.values(), {1.8010931f, -1.80611205f, 0.0866830349f, 0.929652035f, -0.677552938f},
              kTolerance);
}

// The same with torch.nn.utils.clip_grad_norm_(w, 0.5) before each step. A loss scale changes nothing.
TEST(Sgd, ClipsAsPyTorch) {
  for (const float loss_scale : {1.0f, 1024.0f}) {
    Model model;
    Optimizer sgd(model.parameters(), {.kind = OptimizerKind::sgd, .momentum = 0.9f, .nesterov = true});
    Tensor(sgd.loss_scale()).copy_from(Tensor::full({}, loss_scale));
    float norm = 0.0f;
    for (int i = 0; i < 4; ++i) norm = step(sgd, model.gradients(i, loss_scale), 0.1f, 0.5f);
    EXPECT_NEAR(norm, 1.8815f, 5e-5f);
    expect_near(model.values(), {1.34159374f, -1.95102441f, 0.256357253f, 0.533070028f, -0.759548187f},
                kTolerance);
  }
}

TEST(Sgd, WithoutMomentumIsTheClosedForm) {
  Model model;
  const Model start;
  Optimizer sgd(model.parameters(), {.kind = OptimizerKind::sgd, .weight_decay = 0.5f, .momentum = 0.0f});
  step(sgd, model.gradients(0), 0.1f);
  // w (1 - lr * decay) - lr * g; the second parameter does not decay.
  expect_near(
      model.values(),
      {0.95f * 1.0f + 0.03f, 0.95f * -2.0f - 0.02f, 0.95f * 0.5f - 0.07f, 0.25f + 0.02f, -0.75f - 0.03f},
      kTolerance);
  EXPECT_EQ(sgd.state().size(), 1u);  // only the step
}

// With a zero gradient, decoupled decay leaves the momentum at zero and shrinks w by a constant factor.
TEST(Sgd, DecayDoesNotEnterTheMomentum) {
  Model model;
  Optimizer sgd(model.parameters(), {.kind = OptimizerKind::sgd, .weight_decay = 0.1f, .momentum = 0.9f});
  const std::vector<Tensor> zeros{Tensor::zeros({3}), Tensor::zeros({1, 2})};
  for (int i = 0; i < 10; ++i) step(sgd, zeros, 0.5f);
  const float factor = std::pow(0.95f, 10.0f);
  expect_near(model.values(), {factor, -2.0f * factor, 0.5f * factor, 0.25f, -0.75f}, kTolerance);
}

// torch.optim.AdamW([dict(params=[a], weight_decay=0.1), dict(params=[b], weight_decay=0.0)], lr=0.01), and
// AdamW([a, b], lr=0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1).
TEST(Adamw, IsPyTorchs) {
  Model model;
  Optimizer adamw(model.parameters(), {.kind = OptimizerKind::adamw, .weight_decay = 0.1f});
  for (int i = 0; i < 4; ++i) step(adamw, model.gradients(i), 0.01f);
  expect_near(model.values(), {1.03478324f, -1.99315763f, 0.465429842f, 0.288172901f, -0.760689616f},
              kTolerance);

  Model other;
  std::vector<Parameter> all = other.parameters();
  all[1].decay = true;
  Optimizer tuned(
      all,
      {.kind = OptimizerKind::adamw, .weight_decay = 0.1f, .beta1 = 0.8f, .beta2 = 0.95f, .epsilon = 1e-3f});
  for (int i = 0; i < 4; ++i) step(tuned, other.gradients(i), 0.01f);
  expect_near(other.values(), {1.0353508f, -1.99097276f, 0.466854304f, 0.287784338f, -0.75529021f},
              kTolerance);
}

TEST(Optimizer, TakesHalfPrecisionGradients) {
  // Multiples of 1/8 are exact in every type.
  const std::vector<float> values{0.125f, -1.5f, 2.0f};
  std::vector<bf16> brain;
  std::vector<f16> half;
  for (const float v : values) {
    brain.emplace_back(v);
    half.emplace_back(v);
  }
  std::vector<std::vector<float>> results;
  for (const Tensor& dw : {Tensor::from(values, {3}), Tensor::from(brain, {3}), Tensor::from(half, {3})}) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
      Variable w = Variable::leaf(Tensor::from(std::vector<float>{1.0f, 2.0f, 3.0f}, {3}));
      Optimizer optimizer({{"w", &w}}, {.kind = kind});
      EXPECT_NEAR(step(optimizer, std::vector<Tensor>{dw}, 0.1f, 1.0f), std::sqrt(6.265625f), 1e-6f);
      results.push_back(w.value().to_vector<float>());
    }
  }
  for (size_t i = 2; i < results.size(); ++i) EXPECT_EQ(results[i], results[i % 2]);
}

TEST(Optimizer, ANonFiniteGradientChangesNothing) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const float clip : {0.0f, 1.0f}) {
      Model model;
      const auto before = model.values();
      Optimizer adamw(model.parameters(), {.kind = OptimizerKind::adamw, .weight_decay = 0.1f});
      auto gradients = model.gradients(0);
      gradients[1].data<float>()[1] = bad;
      EXPECT_FALSE(std::isfinite(step(adamw, gradients, 0.1f, clip)));
      EXPECT_EQ(model.values(), before);
      EXPECT_EQ(adamw.steps(), 0);
      EXPECT_EQ(adamw.attempts().to_vector<int64_t>().front(), 1);
      EXPECT_EQ(clip_norm(gradients, clip)[1], 0.0f);
    }
  }
}

TEST(Optimizer, ResumesBitwiseFromItsState) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    Model whole;
    Optimizer optimizer(whole.parameters(), {.kind = kind, .weight_decay = 0.1f});
    for (int i = 0; i < 2; ++i) step(optimizer, whole.gradients(i), 0.1f);

    Model resumed;
    resumed.a.mutable_value().copy_from(whole.a.value());
    resumed.b.mutable_value().copy_from(whole.b.value());
    Optimizer other(resumed.parameters(), {.kind = kind, .weight_decay = 0.1f});
    other.load_state(optimizer.state());
    EXPECT_EQ(other.steps(), 2);
    for (int i = 2; i < 5; ++i) {
      step(optimizer, whole.gradients(i), 0.1f);
      step(other, resumed.gradients(i), 0.1f);
    }
    EXPECT_EQ(whole.values(), resumed.values());
  }
}

TEST(Optimizer, RefusesAStateThatDoesNotFitAndStaysAsItWas) {
  Model model;
  Optimizer adamw(model.parameters(), {.kind = OptimizerKind::adamw});
  step(adamw, model.gradients(0), 0.1f);
  std::vector<NamedTensor> good;
  for (const NamedTensor& item : adamw.state()) good.push_back({item.name, item.tensor.clone()});
  ASSERT_EQ(good.size(), 5u);
  EXPECT_EQ(good[2].name, "optimizer.second.a");

  Optimizer fresh(model.parameters(), {.kind = OptimizerKind::adamw});
  for (size_t i = 0; i < good.size(); ++i) {
    auto missing = good;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THROW(fresh.load_state(missing), Error) << good[i].name;
    auto misshapen = good;
    misshapen[i].tensor = Tensor::zeros({7});
    EXPECT_THROW(fresh.load_state(misshapen), Error) << good[i].name;
  }
  EXPECT_EQ(fresh.steps(), 0);
  EXPECT_EQ(fresh.state()[1].tensor.to_vector<float>(), std::vector<float>(3, 0.0f));
  fresh.load_state(good);
  EXPECT_EQ(fresh.steps(), 1);
}

TEST(LossScale, GrowsAfterSteadyStepsAndShrinksWithAnOverflow) {
  const test::Threads threads(1);
  const StepState state(Device::cpu);
  Tensor(state.loss_scale).copy_from(Tensor::full({}, 1024.0f));
  const auto scale_after = [&](int64_t steps, float gradient) {
    const std::vector<Tensor> gradients{Tensor::full({1}, gradient)};
    for (int64_t i = 0; i < steps; ++i)
      backend(Device::cpu).begin_step(gradients, state, {.dynamic_loss_scale = true});
    return state.loss_scale.item();
  };
  EXPECT_EQ(scale_after(kLossScaleInterval - 1, 1.0f), 1024.0f);
  EXPECT_EQ(scale_after(1, 1.0f), 2048.0f);
  EXPECT_EQ(scale_after(kLossScaleInterval - 1, 1.0f), 2048.0f);
  EXPECT_EQ(scale_after(1, std::numeric_limits<float>::infinity()), 1024.0f);
  EXPECT_EQ(scale_after(kLossScaleInterval - 1, 1.0f), 1024.0f) << "counted from the overflow";
  EXPECT_EQ(scale_after(1, 1.0f), 2048.0f);
  EXPECT_EQ(scale_after(kLossScaleInterval, 1.0f), 4096.0f) << "counted anew from the last growth";
  Tensor(state.loss_scale).copy_from(Tensor::full({}, 0x1p127f));
  EXPECT_EQ(scale_after(kLossScaleInterval, 0.0f), 0x1p127f) << "twice that is no f32";
}

TEST(LossScale, IsLeftAloneWhereItIsNotDynamic) {
  const StepState state(Device::cpu);
  const std::vector<Tensor> gradients{Tensor::full({1}, std::numeric_limits<float>::infinity())};
  backend(Device::cpu).begin_step(gradients, state, {});
  EXPECT_EQ(state.loss_scale.item(), 1.0f);
}

TEST(BeginStep, AdamwCountsTheStepsThatAreTaken) {
  const StepState state(Device::cpu);
  Tensor(state.learning_rate).copy_from(Tensor::full({}, 1.0f));
  for (const float gradient : {std::numeric_limits<float>::infinity(), 1.0f})
    backend(Device::cpu)
        .begin_step(std::vector<Tensor>{Tensor::full({1}, gradient)}, state,
                    {.beta1 = 0.75f, .beta2 = 0.75f});
  EXPECT_EQ(state.adamw.to_vector<float>(), (std::vector<float>{4.0f, 2.0f}));
}

// A factor of 0 is a step that is not taken.
TEST(BeginStep, AStepThatIsTakenHasAFactor) {
  const StepState state(Device::cpu);
  Tensor(state.loss_scale).copy_from(Tensor::full({}, 0x1p60f));
  const std::vector<Tensor> gradients{Tensor::full({1}, 1e30f)};
  backend(Device::cpu).begin_step(gradients, state, {.max_norm = 1e-30f});
  EXPECT_GT(state.factor.item(), 0.0f);
}

TEST(LossScale, ASavedOneMustBeANumberAboveNoneAndCountsNotBelow) {
  Model model;
  Optimizer sgd(model.parameters(), {.dynamic_loss_scale = true});
  const auto load = [&](const std::string& name, const Tensor& value) {
    std::vector<NamedTensor> saved;
    for (const NamedTensor& item : sgd.state())
      saved.push_back({item.name, item.name == name ? value : item.tensor.clone()});
    sgd.load_state(saved);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float scale : {0.0f, -1.0f, infinity, std::nanf("")})
    EXPECT_THROW(load("optimizer.loss_scale", Tensor::full({}, scale)), Error) << scale;
  EXPECT_THROW(load("optimizer.steady", Tensor::from(std::vector<int64_t>{-1}, {})), Error);
  load("optimizer.loss_scale", Tensor::full({}, 8.0f));
  EXPECT_EQ(sgd.loss_scale().item(), 8.0f);
}

TEST(ClipNorm, IsTheNormOfAllGradientsAndDoesNotDependOnThreads) {
  Philox random(7);
  std::vector<Tensor> gradients;
  double square = 0.0;
  for (const int64_t n :
       {int64_t{1}, int64_t{16384}, int64_t{16385}, int64_t{100003}, int64_t{0}, int64_t{17}}) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) {
      v = random.normal();
      square += static_cast<double>(v) * v;
    }
    gradients.push_back(Tensor::from(values, {n}));
  }
  std::vector<std::vector<float>> results;
  for (const int n : {1, 2, 3, 7}) {
    const test::Threads threads(n);
    results.push_back(clip_norm(gradients, 2.0f));
  }
  EXPECT_FLOAT_EQ(results[0][0], static_cast<float>(std::sqrt(square)));
  EXPECT_FLOAT_EQ(results[0][1], static_cast<float>(2.0 / (std::sqrt(square) + 1e-6)));
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
  EXPECT_EQ(clip_norm(gradients, 0.0f)[1], 1.0f);
  EXPECT_EQ(clip_norm(gradients, 1e9f)[1], 1.0f);
}

TEST(Ema, FollowsItsFormulaWithWarmUp) {
  Variable w = Variable::leaf(Tensor::full({2}, 1.0f));
  EmaWeights ema({{"w", &w}}, 0.3f);
  float expected = 1.0f;
  for (int t = 1; t <= 8; ++t) {
    const float value = static_cast<float>(t * t);
    w.mutable_value().copy_from(Tensor::full({2}, value));
    ema.begin_update();
    ema.update();
    const float decay = std::min(0.3f, (1.0f + static_cast<float>(t)) / (10.0f + static_cast<float>(t)));
    expected = decay * expected + (1.0f - decay) * value;
    EXPECT_FLOAT_EQ(ema.averages()[0].tensor.to_vector<float>()[1], expected);
  }
  ema.swap();
  EXPECT_FLOAT_EQ(w.value().to_vector<float>()[0], expected);
  ema.swap();
  EXPECT_EQ(w.value().to_vector<float>()[0], 64.0f);

  EmaWeights other({{"w", &w}}, 0.3f);
  other.load_state(ema.state());
  EXPECT_EQ(other.updates(), 8);
  EXPECT_EQ(other.averages()[0].tensor.to_vector<float>(), ema.averages()[0].tensor.to_vector<float>());
  EXPECT_THROW(other.load_state(ema.averages()), Error);
}

TEST(Ema, StatisticsAreItsOwn) {
  Variable w = Variable::leaf(Tensor::full({2}, 1.0f));
  Tensor mean = Tensor::full({3}, 5.0f);
  EmaWeights ema({{"w", &w}}, 0.3f, {{"mean", &mean}});
  const std::vector<NamedTensor> without = EmaWeights({{"w", &w}}, 0.3f).state();
  ema.swap();
  mean.copy_from(Tensor::full({3}, 7.0f));
  ema.swap();
  EXPECT_EQ(mean.to_vector<float>()[0], 5.0f);
  EmaWeights other({{"w", &w}}, 0.3f, {{"mean", &mean}});
  other.load_state(ema.state());
  other.swap();
  EXPECT_EQ(mean.to_vector<float>()[2], 7.0f);
  other.swap();
  other.load_state(without);
  other.swap();
  EXPECT_EQ(mean.to_vector<float>()[2], 5.0f) << "a state without statistics";
}

TEST(Optimizer, RefusesGradientsThatDoNotFit) {
  Model model;
  Optimizer sgd(model.parameters(), {});
  auto gradients = model.gradients(0);
  gradients[1] = Tensor::zeros({2, 1});
  EXPECT_THROW(step(sgd, gradients, 0.1f), CheckError);
  gradients.pop_back();
  EXPECT_THROW(step(sgd, gradients, 0.1f), CheckError);
  EXPECT_THROW(parse_optimizer("adam"), Error);
}

}  // namespace
}  // namespace cytograd
