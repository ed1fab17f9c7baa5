// Runs a model over images and collects class probabilities.
#pragma once

#include "data/loader.h"
#include "models/model.h"
#include "tools/metrics.h"
#include "tools/progress.h"

namespace cytograd {

struct EvaluatorOptions {
  PreprocessOptions preprocess;
  Device device = Device::cpu;
  int64_t classes = 0;
};

/// Probabilities of every readable image of the loader, in its order. Labels are the loader's; `progress` may be null.
/// Throws Error where the network answers with what is no number.
Predictions run_model(Model& model, Loader& loader, const EvaluatorOptions& options, Progress* progress);

}  // namespace cytograd
