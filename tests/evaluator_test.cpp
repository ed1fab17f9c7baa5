// Predictions of a model over images, and the batch norm statistics that they are made by.
#include "tools/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include "engine/backend.h"
#include "tests/support/tiny_data.h"
#include "tests/support/values.h"
#include "tools/training_data.h"

namespace cytograd {
namespace {

using test::TempDir;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using Samples = std::vector<int64_t>;

constexpr int64_t kImages = 24;

/// Images of two classes, a small model whose statistics are of none of them, and what it says of them.
class Evaluator : public ::testing::Test {
 protected:
  Evaluator() : model(make_model({.name = "small", .channels = 1, .classes = 2, .seed = 3})) {
    test::write_tiny_data(dir.path(), {.images = kImages});
    for (int64_t i = 0; i < kImages; ++i) {  // the classes far apart, the images of one nearly alike
      Image image{16, 16, 1, std::vector<uint8_t>(256)};
      Philox random(5, static_cast<uint64_t>(i), 0);
      for (uint8_t& pixel : image.pixels)
        pixel = static_cast<uint8_t>((i % 2 == 0 ? 30 : 200) + random.below(30));
      test::write_channels(dir.path(), "i" + std::to_string(i), image);
    }
    options.preprocess = {.normalization = Normalization::unit};
    options.classes = 2;
    for (const NamedBuffer& buffer : model->state().buffers) {
      if (buffer.name.ends_with("running_mean")) backend(Device::cpu).fill(*buffer.tensor, 0.02f);
      if (buffer.name.ends_with("running_var")) backend(Device::cpu).fill(*buffer.tensor, 0.05f);
    }
  }

  void open() { data = load_images(open_dataset(dir.path()), TrainOptions(), Use::inference); }

  EvaluationImages images(Samples samples, Samples domains = {}) {
    return {.store = *data->store,
            .samples = std::move(samples),
            .loader = {.batch = 8},
            .domains = std::move(domains)};
  }
  Evaluated evaluated(Samples samples, Samples domains = {}) {
    return run_model(*model, images(std::move(samples), std::move(domains)), options, nullptr);
  }

  /// Of the first class.
  static float probability(const Predictions& predictions, size_t i) {
    const std::span<const RankedClass> ranked = predictions.of_image(i);
    return ranked[ranked[0].index == 0 ? 0 : 1].probability;
  }

  std::map<std::string, std::vector<float>> statistics() {
    std::map<std::string, std::vector<float>> values;
    for (const NamedBuffer& buffer : model->state().buffers) {
      if (buffer.tensor->dtype() == DType::f32) values[buffer.name] = buffer.tensor->to_vector<float>();
    }
    return values;
  }
  void set_statistics(const std::map<std::string, std::vector<float>>& values) {
    for (const NamedBuffer& buffer : model->state().buffers) {
      const auto found = values.find(buffer.name);
      if (found != values.end())
        buffer.tensor->copy_from(Tensor::from(found->second, buffer.tensor->shape()));
    }
  }

  const test::Threads threads{1};
  TempDir dir;
  std::unique_ptr<LoadedData> data;
  std::unique_ptr<Model> model;
  EvaluatorOptions options;
};

Samples all_samples() {
  Samples samples(kImages);
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

// Of a domain in one batch: (16 own + n batch) / (16 + n), and the other domain plays no part.
TEST_F(Evaluator, ADomainIsClassifiedByItsImagesStatisticsBesideTheModels) {
  open();
  const Samples domain{1, 4, 7, 8, 13};
  const auto own = statistics();
  Loader loader(*data->store, domain, {}, {.batch = 8}, 0);
  estimate_statistics(*model, loader, options, 0.0);
  const auto batch = statistics();
  auto mixed = own;
  for (auto& [name, values] : mixed) {
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>((16.0 * own.at(name)[i] + 5.0 * batch.at(name)[i]) / 21.0);
  }
  set_statistics(mixed);
  const Predictions expected = evaluated(domain).predictions;
  set_statistics(own);
  const Predictions unadapted = evaluated(domain).predictions;

  Samples domains(kImages, 7);
  for (const int64_t sample : domain) domains[static_cast<size_t>(sample)] = 2;
  const Predictions adapted = evaluated(all_samples(), domains).predictions;
  EXPECT_THAT(adapted.samples, ElementsAreArray(all_samples()));
  double difference = 0.0, effect = 0.0;
  for (size_t i = 0; i < domain.size(); ++i) {
    const float p = probability(adapted, static_cast<size_t>(domain[i]));
    difference = std::max<double>(difference, std::abs(p - probability(expected, i)));
    effect = std::max<double>(effect, std::abs(p - probability(unadapted, i)));
  }
  EXPECT_LT(difference, 1e-6);
  EXPECT_GT(effect, 1e-3) << "statistics that change nothing show nothing";
  EXPECT_EQ(statistics(), own) << "the model is as it was";
}

TEST_F(Evaluator, TheLossIsTheCrossEntropyOfTheImagesThatHaveALabel) {
  open();
  EvaluationImages labelled = images({3, 4, 5, 6});
  labelled.labels = {0, 1, -1, 0};
  const Predictions predictions = run_model(*model, labelled, options, nullptr).predictions;
  EXPECT_THAT(predictions.labels, ElementsAre(0, 1, -1, 0));
  const auto loss = [&](size_t i) { return -std::log(static_cast<double>(probability(predictions, i))); };
  const double of_second = -std::log(1.0 - static_cast<double>(probability(predictions, 1)));
  EXPECT_NEAR(predictions.loss_sum, loss(0) + of_second + loss(3), 1e-4);
}

TEST_F(Evaluator, NothingIsDroppedOut) {
  open();
  model = make_model({.name = "small", .channels = 1, .classes = 2, .seed = 3});
  const Predictions plain = evaluated(all_samples()).predictions;
  model = make_model({.name = "small", .channels = 1, .classes = 2, .dropout = 0.5f, .seed = 3});
  const Predictions dropping = evaluated(all_samples()).predictions;
  for (size_t i = 0; i < plain.samples.size(); ++i)
    EXPECT_EQ(probability(dropping, i), probability(plain, i)) << i;
}

TEST_F(Evaluator, WithoutDomainsTheModelsOwnStatisticsDecide) {
  open();
  const Predictions together = evaluated(all_samples()).predictions;
  const Predictions alone = evaluated({5}).predictions;
  EXPECT_NEAR(probability(together, 5), probability(alone, 0), 1e-5);
}

TEST_F(Evaluator, TheModelsOwnStatisticsStandForADomainOfOneImage) {
  open();
  const float own = probability(evaluated({5}).predictions, 0);
  const Predictions adapted = evaluated({4, 5, 6}, {0, 1, 0}).predictions;
  EXPECT_THAT(adapted.samples, ElementsAre(4, 5, 6));
  EXPECT_EQ(probability(adapted, 1), own);
}

// Of one pixel, it would have no variance at all.
TEST_F(Evaluator, AnImageThatFillsNoBatchHasNoStatistics) {
  open();
  options.preprocess.shrink = 16;
  EvaluationImages three = images({1, 4, 7}, {0, 0, 0});
  three.loader.batch = 2;
  three.loader.shrink = 16;
  const Predictions predictions = run_model(*model, three, options, nullptr).predictions;
  ASSERT_EQ(predictions.samples.size(), 3U);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(std::isfinite(probability(predictions, i))) << i;
}

// Of images in the order of their classes, a batch would hold one class alone.
TEST_F(Evaluator, StatisticsDoNotDependOnTheOrderOfTheClasses) {
  open();
  Samples sorted;
  for (int64_t i = 0; i < kImages; i += 2) sorted.push_back(i);
  for (int64_t i = 1; i < kImages; i += 2) sorted.push_back(i);
  const auto variance = [&](bool shuffled) {
    const auto own = statistics();
    Loader loader(*data->store, sorted, {}, {.batch = 12, .shuffle = shuffled}, 0);
    estimate_statistics(*model, loader, options, 0.0);
    const float value = statistics().at("bn1.running_var")[0];
    set_statistics(own);
    return value;
  };
  ASSERT_GT(variance(true), 1.5f * variance(false)) << "the classes differ too little to show it";
  EvaluationImages drawn = images(sorted, Samples(kImages, 0));
  drawn.loader.batch = 12;
  const Predictions in_order = run_model(*model, drawn, options, nullptr).predictions;
  drawn.loader.batch = kImages;  // the statistics of all
  const Predictions at_once = run_model(*model, drawn, options, nullptr).predictions;
  for (size_t i = 0; i < in_order.samples.size(); ++i)
    EXPECT_NEAR(probability(in_order, i), probability(at_once, i), 0.02) << i;
}

TEST_F(Evaluator, AnUnreadableImageIsLeftOutAndSaidOnce) {
  TrainOptions from_disk;
  from_disk.max_missing = 0.2;
  from_disk.cache_gib = 0.0;
  data = load_images(open_dataset(dir.path()), from_disk, Use::inference);
  std::ofstream(dir / "i3.png") << "no image";
  const Evaluated result = evaluated({2, 3, 4, 9}, {1, 0, 0, 1});
  EXPECT_THAT(result.predictions.samples, ElementsAre(2, 4, 9));
  ASSERT_EQ(result.unreadable.size(), 1U);
  EXPECT_EQ(result.unreadable[0].sample, 3);
  Samples some{2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};  // more than a batch: how they are drawn shows
  const Predictions without = evaluated(some, Samples(some.size(), 0)).predictions;
  some.push_back(3);
  const Predictions with = evaluated(some, Samples(some.size(), 0)).predictions;
  ASSERT_THAT(with.samples, ElementsAreArray(without.samples));
  for (size_t i = 0; i < without.samples.size(); ++i)
    EXPECT_EQ(probability(with, i), probability(without, i)) << i;
}

}  // namespace
}  // namespace cytograd
