#include "tools/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>

#include "data/natural_order.h"
#include "engine/check.h"

namespace cytograd {

double cross_entropy(std::span<const float> logits, int64_t label) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float z : logits) sum += std::exp(static_cast<double>(z) - max);
  return std::log(sum) + max - static_cast<double>(logits[static_cast<size_t>(label)]);
}

std::vector<int64_t> top_classes(const Predictions& predictions, int64_t row, int64_t k) {
  const float* p = predictions.probabilities.data() + row * predictions.classes;
  std::vector<int64_t> order(static_cast<size_t>(predictions.classes));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto middle = order.begin() + std::min(k, predictions.classes);
  std::partial_sort(order.begin(), middle, order.end(),
                    [p](int64_t a, int64_t b) { return p[a] > p[b] || (p[a] == p[b] && a < b); });
  order.erase(middle, order.end());
  return order;
}

Evaluation evaluate_predictions(const Predictions& predictions, const std::vector<std::string>& groups) {
  const size_t count = predictions.labels.size();
  CHECK(predictions.probabilities.size() == count * static_cast<size_t>(predictions.classes));
  CHECK(groups.empty() || groups.size() == count);
  Evaluation result;
  result.per_class.resize(static_cast<size_t>(predictions.classes));
  std::map<std::string, Tally, NaturalLess> by_group;
  int64_t correct = 0;
  int64_t correct_top5 = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t label = predictions.labels[i];
    if (label < 0) continue;
    CHECK(label < predictions.classes, "label {} of {} classes", label, predictions.classes);
    const std::vector<int64_t> top = top_classes(predictions, static_cast<int64_t>(i), 5);
    const int64_t hit = top.front() == label ? 1 : 0;
    ++result.count;
    correct += hit;
    correct_top5 += std::find(top.begin(), top.end(), label) != top.end() ? 1 : 0;
    Tally& of_class = result.per_class[static_cast<size_t>(label)];
    ++of_class.count;
    of_class.correct += hit;
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
  return result;
}

}  // namespace cytograd
