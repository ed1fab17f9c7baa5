// A training step gives the same bits as a graph and one by one, on every device, for whatever changes from step to
// step:
// batches, learning rates, dropout, averages, loss scales.
#include "tools/train_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/backend.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

constexpr int64_t kBatch = 4, kSide = 12, kChannels = 3, kClasses = 3;

struct Setting {
  Device device = Device::cpu;
  DType dtype = DType::f32;
  OptimizerKind optimizer = OptimizerKind::sgd;
};

/// `images` random ones; the i-th batch.
Batch draw_batch(int64_t images, uint64_t i) {
  Philox random(1000 + i);
  std::vector<uint8_t> pixels(static_cast<size_t>(images * kSide * kSide * kChannels));
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.uniform(0.0f, 256.0f));
  std::vector<int64_t> labels;
  for (int64_t k = 0; k < images; ++k) labels.push_back((k + static_cast<int64_t>(i)) % kClasses);
  std::vector<View> views(static_cast<size_t>(images));
  for (size_t k = 0; k < views.size(); ++k) views[k].mirror = (k + i) % 2 == 0;
  return {.images = Tensor::from(pixels, {images, kSide, kSide, kChannels}),
          .labels = Tensor::from(labels, {images}),
          .views = views,
          .samples = labels};
}

/// A model with all that a step touches.
class Training {
 public:
  /// `full`: images of the batches that may be captured.
  Training(const Setting& setting, int64_t full)
      : model_(make_model(
            {.name = "small", .channels = kChannels, .classes = kClasses, .dropout = 0.25f, .seed = 7})) {
    move_to(*model_, setting.device);
    const auto parameters = model_->state().parameters;
    optimizer_ = std::make_unique<Optimizer>(
        parameters, OptimizerOptions{.kind = setting.optimizer,
                                     .weight_decay = 0.01f,
                                     .epsilon = 0.01f,  // less, and first steps are the gradients' signs
                                     .dynamic_loss_scale = setting.dtype == DType::f16});
    ema_ = std::make_unique<EmaWeights>(parameters, 0.9f);
    step_ = std::make_unique<TrainStep>(*model_, *optimizer_, ema_.get(),
                                        TrainStep::Options{.device = setting.device,
                                                           .preprocess = {.dtype = setting.dtype},
                                                           .label_smoothing = 0.1f,
                                                           .clip_norm = 0.5f,
                                                           .seed = 3,
                                                           .batch = full});
  }

  /// A batch that is not full comes fourth. The results are read two steps late, as in training.
  void run(uint64_t steps) {
    std::vector<std::function<TrainStep::Result()>> pending;
    for (uint64_t i = 0; i < steps; ++i) {
      pending.push_back(
          step_->run(draw_batch(i == 3 ? kBatch - 1 : kBatch, i), 0.02f / static_cast<float>(i + 1)));
      if (i >= 2) results.push_back(pending[i - 2]());
    }
    for (uint64_t i = steps - 2; i < steps; ++i) results.push_back(pending[i]());
  }

  /// Weights, averages, statistics, moments and counts.
  std::vector<std::vector<double>> state() {
    std::vector<std::vector<double>> all;
    const auto take = [&](const Tensor& x) {
      if (x.dtype() == DType::i64) {
        all.push_back({static_cast<double>(x.to_vector<int64_t>().front())});
      } else {
        all.push_back(test::values_of(x.to(Device::cpu)));
      }
    };
    for (const Parameter& p : model_->state().parameters) take(p.variable->value());
    for (const NamedBuffer& b : model_->state().buffers) take(*b.tensor);
    for (const NamedTensor& t : optimizer_->state()) take(t.tensor);
    for (const NamedTensor& t : ema_->state()) take(t.tensor);
    return all;
  }

  const Optimizer& optimizer() const { return *optimizer_; }
  bool captured() const { return step_->captured(); }

  std::vector<TrainStep::Result> results;

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<EmaWeights> ema_;
  std::unique_ptr<TrainStep> step_;
};

TEST(TrainStep, EachStepAndEachSeedHasADropoutOfItsOwn) {
  const auto losses = [](uint64_t seed) {
    const auto model =
        make_model({.name = "small", .channels = kChannels, .classes = kClasses, .dropout = 0.5f, .seed = 7});
    Optimizer optimizer(model->state().parameters, {});
    TrainStep step(*model, optimizer, nullptr, {.seed = seed, .batch = kBatch});
    const float first = step.run(draw_batch(kBatch, 0), 0.0f)().loss;
    return std::pair(first, step.run(draw_batch(kBatch, 0), 0.0f)().loss);
  };
  EXPECT_NE(losses(3).first, losses(3).second);
  EXPECT_EQ(losses(3), losses(3));
  EXPECT_NE(losses(4).first, losses(3).first);
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Device device : test::devices()) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      if (device == Device::cpu && dtype == DType::f16) continue;
      for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw})
        all.push_back({device, dtype, kind});
    }
  }
  return all;
}

class TrainStepTest : public testing::TestWithParam<Setting> {};

INSTANTIATE_TEST_SUITE_P(Settings, TrainStepTest, testing::ValuesIn(settings()), [](const auto& each) {
  const Setting& s = each.param;
  return fmt::format("{}_{}_{}", device_name(s.device), dtype_name(s.dtype),
                     s.optimizer == OptimizerKind::sgd ? "sgd" : "adamw");
});

TEST_P(TrainStepTest, AGraphGivesTheBitsOfSingleSteps) {
  backend(GetParam().device).set_options({.deterministic = true});
  Training as_graph(GetParam(), kBatch), one_by_one(GetParam(), 0);
  as_graph.run(7);
  one_by_one.run(7);
  EXPECT_EQ(as_graph.captured(), GetParam().device == Device::cuda);
  EXPECT_FALSE(one_by_one.captured());
  EXPECT_EQ(as_graph.state(), one_by_one.state());
  for (size_t i = 0; i < 7; ++i) {
    const auto &a = as_graph.results[i], &b = one_by_one.results[i];
    EXPECT_EQ(a.loss, b.loss) << i;
    EXPECT_EQ(a.correct, b.correct) << i;
    EXPECT_EQ(a.norm, b.norm) << i;
    EXPECT_EQ(a.loss_scale, b.loss_scale) << i;
    EXPECT_TRUE(std::isfinite(a.loss)) << i;
  }
}

TEST_P(TrainStepTest, EachStepDropsOtherElementsAndSeesItsOwnBatch) {
  Training training(GetParam(), kBatch);
  training.run(7);
  for (size_t i = 1; i < 7; ++i) EXPECT_NE(training.results[i].loss, training.results[i - 1].loss) << i;
}

// The CPU has no f16, which is held against f32.
TEST_P(TrainStepTest, IsTheCpus) {
  const Setting& setting = GetParam();
  if (setting.device == Device::cpu) GTEST_SKIP() << "is the CPU's own";
  const bool half = setting.dtype == DType::f16;
  Training here(setting, kBatch);
  Training reference({Device::cpu, half ? DType::f32 : setting.dtype, setting.optimizer}, kBatch);
  if (half) Tensor(here.optimizer().loss_scale()).copy_from(Tensor::full({}, 256.0f));  // nothing overflows
  here.run(6);
  reference.run(6);
  const double tolerance = setting.dtype == DType::f32 ? 1e-5 : 5e-3;
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(here.results[i].loss, reference.results[i].loss, tolerance) << i;
}

// Libraries choose and measure their algorithms on the first.
TEST(TrainStepCuda, TheSecondFullBatchIsTheFirstThatIsCaptured) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  const auto model = make_model({.name = "small", .channels = kChannels, .classes = kClasses, .seed = 7});
  move_to(*model, Device::cuda);
  Optimizer optimizer(model->state().parameters, {});
  TrainStep step(*model, optimizer, nullptr, {.device = Device::cuda, .batch = kBatch});
  for (const bool captured : {false, true}) {
    step.run(draw_batch(kBatch, 0), 0.01f)();
    EXPECT_EQ(step.captured(), captured);
  }
}

TEST(TrainStepCuda, AnOverflowHalvesTheLossScaleAndCostsTheStep) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  for (const int64_t full : {int64_t{0}, kBatch}) {
    Training training({Device::cuda, DType::f16, OptimizerKind::adamw}, full);
    Tensor(training.optimizer().loss_scale()).copy_from(Tensor::full({}, 0x1p40f));
    const auto before = training.state();
    training.run(3);
    EXPECT_EQ(training.optimizer().steps(), 0);
    EXPECT_EQ(training.optimizer().loss_scale().item(), 0x1p37f);
    for (const TrainStep::Result& result : training.results) {
      EXPECT_FALSE(std::isfinite(result.norm));
      EXPECT_TRUE(std::isfinite(result.loss));
    }
    EXPECT_EQ(training.state().front(), before.front()) << "the weights are as they were";
  }
}

}  // namespace
}  // namespace cytograd
