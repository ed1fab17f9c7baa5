#include "tools/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace cytograd {
namespace {

constexpr size_t kWorstClasses = 5;
constexpr size_t kGroupLines = 40;

std::string percent(const Tally& tally) {
  return fmt::format("{:5.1f}% of {}", 100.0 * tally.accuracy(), tally.count);
}

}  // namespace

std::string format_evaluation(const Evaluation& evaluation, const std::vector<std::string>& classes) {
  std::string text = fmt::format(
      "  images          {}\n  accuracy        {:.4f}\n  macro accuracy  {:.4f}   (mean over classes)\n  "
      "top-5 accuracy  "
      "{:.4f}\n  loss            {:.4f}\n",
      evaluation.count, evaluation.accuracy, evaluation.macro_accuracy, evaluation.top5_accuracy,
      evaluation.loss);
  if (!evaluation.per_group.empty()) {
    size_t width = 0;
    for (const auto& [name, tally] : evaluation.per_group) width = std::max(width, name.size());
    text += "  accuracy by group\n";
    for (size_t i = 0; i < std::min(evaluation.per_group.size(), kGroupLines); ++i) {
      const auto& [name, tally] = evaluation.per_group[i];
      text += fmt::format("    {:<{}}  {}\n", name, width, percent(tally));
    }
    if (evaluation.per_group.size() > kGroupLines) {
      text += fmt::format("    and {} more groups\n", evaluation.per_group.size() - kGroupLines);
    }
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < evaluation.per_class.size(); ++i) {
    if (evaluation.per_class[i].count > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return evaluation.per_class[a].accuracy() < evaluation.per_class[b].accuracy();
  });
  order.resize(std::min(order.size(), kWorstClasses));
  size_t width = 0;
  for (const size_t i : order) width = std::max(width, classes[i].size());
  text += "  worst classes\n";
  for (const size_t i : order) {
    text += fmt::format("    {:<{}}  {}", classes[i], width, percent(evaluation.per_class[i]));
    const auto& row = evaluation.predicted[i];
    const auto other = std::find_if(row.begin(), row.end(),
                                    [&](const ClassCount& c) { return static_cast<size_t>(c.index) != i; });
    if (other != row.end())
      text += fmt::format(", {} taken for {}", other->count, classes[static_cast<size_t>(other->index)]);
    text += '\n';
  }
  return text;
}

std::string evaluation_json(const Evaluation& evaluation, const std::vector<std::string>& classes) {
  const auto accuracy = [](const Tally& tally) {
    return tally.count > 0 ? nlohmann::ordered_json(tally.accuracy()) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json json{{"adabn", evaluation.adabn},
                              {"accuracy", evaluation.accuracy},
                              {"macro_accuracy", evaluation.macro_accuracy},
                              {"top5_accuracy", evaluation.top5_accuracy},
                              {"loss", evaluation.loss},
                              {"count", evaluation.count},
                              {"per_class", nlohmann::ordered_json::array()},
                              {"per_group", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < evaluation.per_class.size(); ++i) {
    const Tally& tally = evaluation.per_class[i];
    auto predicted = nlohmann::ordered_json::array();
    for (const ClassCount& c : evaluation.predicted[i])
      predicted.push_back({{"class", classes[static_cast<size_t>(c.index)]}, {"count", c.count}});
    json["per_class"].push_back({{"class", classes[i]},
                                 {"count", tally.count},
                                 {"accuracy", accuracy(tally)},
                                 {"predicted", predicted}});
  }
  for (const auto& [group, tally] : evaluation.per_group) {
    json["per_group"].push_back({{"group", group}, {"count", tally.count}, {"accuracy", accuracy(tally)}});
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace cytograd
