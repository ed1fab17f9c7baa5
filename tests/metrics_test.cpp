#include "tools/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace cytograd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Predictions predictions_of(int64_t classes, const std::vector<float>& probabilities) {
  Predictions predictions;
  predictions.classes = classes;
  predictions.ranks = std::min<int64_t>(classes, 5);
  const auto width = static_cast<size_t>(classes), ranks = static_cast<size_t>(predictions.ranks);
  predictions.ranked.resize(probabilities.size() / width * ranks);
  for (size_t i = 0; i < probabilities.size() / width; ++i)
    rank_classes(std::span(probabilities).subspan(i * width, width),
                 std::span(predictions.ranked).subspan(i * ranks, ranks));
  return predictions;
}

/// Three classes, four images; the second is wrong, the last has no label.
Predictions example() {
  Predictions predictions = predictions_of(3, {0.7f, 0.2f, 0.1f,  //
                                               0.5f, 0.4f, 0.1f,  //
                                               0.1f, 0.1f, 0.8f,  //
                                               0.3f, 0.3f, 0.4f});
  predictions.labels = {0, 1, 2, -1};
  predictions.samples = {10, 11, 12, 13};
  predictions.loss_sum = 3.0;
  return predictions;
}

TEST(Metrics, CountsOnlyImagesWithALabel) {
  const Evaluation evaluation = evaluate_predictions(example(), {});
  EXPECT_EQ(evaluation.count, 3);
  EXPECT_DOUBLE_EQ(evaluation.loss, 1.0);
  EXPECT_DOUBLE_EQ(evaluation.accuracy, 2.0 / 3.0);
}

TEST(Metrics, MacroAccuracyIsTheMeanOverClassesThatOccur) {
  Predictions predictions = example();
  EXPECT_DOUBLE_EQ(evaluate_predictions(predictions, {}).macro_accuracy, 2.0 / 3.0);
  predictions.labels = {0, 0, 2, -1};  // class 1 no longer occurs; both images of class 0 are right
  EXPECT_DOUBLE_EQ(evaluate_predictions(predictions, {}).macro_accuracy, 1.0);
  predictions.labels = {0, 0, 0, 1};  // class 0: two of three; class 1: none of one
  EXPECT_DOUBLE_EQ(evaluate_predictions(predictions, {}).macro_accuracy, (2.0 / 3.0 + 0.0) / 2.0);
}

TEST(Metrics, TellsWhatEachClassWasTakenFor) {
  const std::vector<float> as_0{0.8f, 0.1f, 0.1f}, as_1{0.1f, 0.8f, 0.1f}, as_2{0.1f, 0.1f, 0.8f};
  std::vector<float> probabilities;
  for (const auto& row : {as_2, as_1, as_2, as_0, as_1, as_2, as_0})
    probabilities.insert(probabilities.end(), row.begin(), row.end());
  Predictions predictions = predictions_of(3, probabilities);
  predictions.labels = {0, 0, 0, 0, 0, 2, -1};
  predictions.samples = {0, 1, 2, 3, 4, 5, 6};
  const auto predicted = evaluate_predictions(predictions, {}).predicted;
  std::vector<std::vector<std::pair<int32_t, int64_t>>> rows;
  for (const auto& row : predicted) {
    auto& pairs = rows.emplace_back();
    for (const ClassCount& c : row) pairs.emplace_back(c.index, c.count);
  }
  EXPECT_THAT(rows, ElementsAre(ElementsAre(std::pair(1, 2), std::pair(2, 2), std::pair(0, 1)), IsEmpty(),
                                ElementsAre(std::pair(2, 1))));
}

TEST(Metrics, GroupsAreTalliedInNaturalOrder) {
  const Evaluation evaluation = evaluate_predictions(example(), {"plate10", "plate2", "plate2", "plate3"});
  ASSERT_EQ(evaluation.per_group.size(), 2u);  // plate3 has no labelled image
  EXPECT_EQ(evaluation.per_group[0].first, "plate2");
  EXPECT_EQ(evaluation.per_group[0].second.count, 2);
  EXPECT_EQ(evaluation.per_group[0].second.correct, 1);
  EXPECT_EQ(evaluation.per_group[1].first, "plate10");
}

TEST(Metrics, CrossEntropyIsNotCutOff) {
  const std::vector<float> logits{0.0f, 500.0f, -300.0f};
  EXPECT_DOUBLE_EQ(cross_entropy(logits, 1), 0.0);
  EXPECT_DOUBLE_EQ(cross_entropy(logits, 0), 500.0);
  EXPECT_DOUBLE_EQ(cross_entropy(logits, 2), 800.0);
  EXPECT_NEAR(cross_entropy(std::vector<float>{1.0f, 2.0f}, 0), std::log(1.0 + std::exp(1.0)), 1e-15);
}

TEST(Metrics, TopClassesBreakTiesByIndex) {
  const auto indices = [](const std::vector<float>& probabilities, size_t ranks) {
    std::vector<RankedClass> ranked(ranks);
    rank_classes(probabilities, ranked);
    std::vector<int32_t> result;
    for (const RankedClass& c : ranked) {
      EXPECT_EQ(c.probability, probabilities[static_cast<size_t>(c.index)]);
      result.push_back(c.index);
    }
    return result;
  };
  EXPECT_THAT(indices({0.3f, 0.3f, 0.4f}, 3), ElementsAre(2, 0, 1));
  EXPECT_THAT(indices({0.1f, 0.2f, 0.2f, 0.2f, 0.3f}, 3), ElementsAre(4, 1, 2));
}

TEST(Metrics, Top5NeedsTheLabelAmongFive) {
  Predictions predictions = predictions_of(7, {0.30f, 0.20f, 0.15f, 0.12f, 0.10f, 0.08f, 0.05f,  //
                                               0.30f, 0.20f, 0.15f, 0.12f, 0.10f, 0.08f, 0.05f});
  predictions.labels = {4, 5};
  predictions.samples = {0, 1};
  const Evaluation evaluation = evaluate_predictions(predictions, {});
  EXPECT_DOUBLE_EQ(evaluation.top5_accuracy, 0.5);
  EXPECT_DOUBLE_EQ(evaluation.accuracy, 0.0);
}

}  // namespace
}  // namespace cytograd
