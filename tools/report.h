// An evaluation as text for people and JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "tools/metrics.h"

namespace cytograd {

/// Accuracy, macro accuracy, top-5, each group, and the worst classes.
std::string format_evaluation(const Evaluation& evaluation, const std::vector<std::string>& classes);

/// {"adabn", "accuracy", "macro_accuracy", "top5_accuracy", "loss", "count", "per_class": [{"class", "count", "accuracy"}],
/// "per_group": [{"group", "count", "accuracy"}]}; the accuracy of a class without images is null.
std::string evaluation_json(const Evaluation& evaluation, const std::vector<std::string>& classes);

}  // namespace cytograd
