// A trained classifier, read back from its run folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "models/model.h"
#include "tools/evaluator.h"
#include "tools/fusion_tables.h"
#include "tools/train_options.h"

namespace cytograd {

/// The model that the settings describe, for images of `channels` channels. The stem is resolved already.
ModelOptions model_options(const TrainOptions& options, const FusionTables& fusion, int64_t channels,
                           int64_t classes);

struct TrainedRun {
  TrainOptions options;
  std::vector<std::string> classes;
  FusionTables fusion;
  int64_t channels = 0;  ///< of the raw images
  std::string size;  ///< of the raw images, "64 x 64", where whole ones of one size were trained on; else ""
  std::unique_ptr<Model> model;
  std::vector<std::filesystem::path> files;  ///< of the run folder, there or not, and the weights
};

/// Reads a run folder (its best.safetensors), or one of its .safetensors files by name, and puts the model on `device`.
/// Throws Error where a file is absent, malformed or of another model.
TrainedRun load_trained_run(const std::string& path, Device device);

/// How the run's model is put to images on `device`, in the precision of `options`.
EvaluatorOptions evaluator_options(const TrainedRun& run, const TrainOptions& options, Device device);

/// Fails where `output` is one of the run's files.
void require_no_run_file(const TrainedRun& run, const std::string& output);

/// Fails where a pack's 16-bit images were scaled in another way than the run's.
void require_white(const TrainedRun& run, const Dataset& dataset);

/// Fails where a dataset's images, which are as `image`, have other channels than the run's. Prints a note where they
/// are of another size, and so, it may be, of another magnification.
void require_alike(const TrainedRun& run, const ImageInfo& image, const std::string& folder);

}  // namespace cytograd
