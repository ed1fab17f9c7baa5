#include "tools/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>

#include "data/natural_order.h"
#include "engine/check.h"

namespace cytograd {
namespace {

constexpr int64_t kTop = 5;

}  // namespace

double cross_entropy(std::span<const float> logits, int64_t label) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float z : logits) sum += std::exp(static_cast<double>(z) - max);
  return std::log(sum) + max - static_cast<double>(logits[static_cast<size_t>(label)]);
}

void rank_classes(std::span<const float> probabilities, std::span<RankedClass> ranked) {
  const auto is_before = [](const RankedClass& a, const RankedClass& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.index < b.index);
  };
  // A heap whose first is the last of those found so far.
  const size_t ranks = ranked.size();
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const RankedClass found{static_cast<int32_t>(i), probabilities[i]};
    if (i < ranks) {
      ranked[i] = found;
      std::push_heap(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(i) + 1, is_before);
    } else if (is_before(found, ranked.front())) {
      std::pop_heap(ranked.begin(), ranked.end(), is_before);
      ranked.back() = found;
      std::push_heap(ranked.begin(), ranked.end(), is_before);
    }
  }
  std::sort_heap(ranked.begin(), ranked.end(), is_before);
}

Evaluation evaluate_predictions(const Predictions& predictions, const std::vector<std::string>& groups) {
  const size_t count = predictions.labels.size();
  CHECK(predictions.ranked.size() == count * static_cast<size_t>(predictions.ranks));
  CHECK(predictions.ranks >= std::min(kTop, predictions.classes), "{} ranks", predictions.ranks);
  CHECK(groups.empty() || groups.size() == count);
  Evaluation result;
  result.per_class.resize(static_cast<size_t>(predictions.classes));
  std::map<std::string, Tally, NaturalLess> by_group;
  std::vector<std::map<int32_t, int64_t>> predicted(result.per_class.size());
  result.predicted.resize(result.per_class.size());
  int64_t correct = 0;
  int64_t correct_top5 = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t label = predictions.labels[i];
    if (label < 0) continue;
    CHECK(label < predictions.classes, "label {} of {} classes", label, predictions.classes);
    const auto top = predictions.of_image(i).first(static_cast<size_t>(std::min(kTop, predictions.classes)));
    const int64_t hit = top.front().index == label ? 1 : 0;
    ++result.count;
    correct += hit;
    correct_top5 += std::any_of(top.begin(), top.end(), [&](RankedClass c) { return c.index == label; });
    Tally& of_class = result.per_class[static_cast<size_t>(label)];
    ++of_class.count;
    of_class.correct += hit;
    ++predicted[static_cast<size_t>(label)][top.front().index];
    if (!groups.empty()) {
      Tally& of_group = by_group[groups[i]];
      ++of_group.count;
      of_group.correct += hit;
    }
  }
  if (result.count == 0) return result;
  const auto n = static_cast<double>(result.count);
  result.loss = predictions.loss_sum / n;
  result.accuracy = static_cast<double>(correct) / n;
  result.top5_accuracy = static_cast<double>(correct_top5) / n;
  double sum = 0.0;
  int64_t present = 0;
  for (const Tally& of_class : result.per_class) {
    sum += of_class.accuracy();
    present += of_class.count > 0 ? 1 : 0;
  }
  result.macro_accuracy = sum / static_cast<double>(present);
  result.per_group.assign(by_group.begin(), by_group.end());
  for (size_t i = 0; i < predicted.size(); ++i) {
    std::vector<ClassCount>& row = result.predicted[i];
    for (const auto& [index, times] : predicted[i]) row.push_back({index, times});
    std::stable_sort(row.begin(), row.end(),
                     [](const ClassCount& a, const ClassCount& b) { return a.count > b.count; });
  }
  return result;
}

}  // namespace cytograd
