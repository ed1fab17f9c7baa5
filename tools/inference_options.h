// What eval and predict are asked to do otherwise than the run did.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/tensor.h"
#include "tools/train_options.h"

namespace cytograd {

struct InferenceOptions {
  double max_missing = 0.05;
  std::string adabn = "auto";  ///< auto: as the run was validated
  std::string device = "auto";
  // As the run, where nothing is given.
  std::optional<std::string> dtype = {};
  std::optional<int64_t> batch = {};
  std::optional<int64_t> workers = {};
  std::optional<double> cache_gib = {};
};

/// Declares --adabn, --max-missing, --device, --dtype, --batch, --workers and --cache-gib.
void add_inference_options(CLI::App& command, InferenceOptions& options);

/// The run's settings with those that are given in place of its own. On a CPU, a run's f16 becomes what auto is there,
/// which is said. Throws Error where f16 is asked for.
TrainOptions with_inference_options(TrainOptions run, const InferenceOptions& given, Device device);

}  // namespace cytograd
