// An evaluation as text for people and JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "tools/metrics.h"

namespace cytograd {

/// Accuracy, macro accuracy, top-5, each group, and the worst classes with what they were taken for most often.
std::string format_evaluation(const Evaluation& evaluation, const std::vector<std::string>& classes);

/// {"adabn", "accuracy", "macro_accuracy", "top5_accuracy", "loss", "count", "per_class": [{"class", "count",
/// "accuracy", "predicted": [{"class", "count"}]}], "per_group": [{"group", "count", "accuracy"}]}; the accuracy of a
/// class without images is null, and of what its images were predicted as no zeros are listed.
std::string evaluation_json(const Evaluation& evaluation, const std::vector<std::string>& classes);

}  // namespace cytograd
