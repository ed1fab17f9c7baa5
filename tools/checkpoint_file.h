// best.safetensors and last.safetensors: weights, and for the latter all that training needs to go on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "engine/safetensors.h"
#include "models/model.h"
#include "tools/fusion_tables.h"
#include "tools/run_folder.h"

namespace cytograd {

/// How far a run has come, after a whole epoch.
struct TrainingProgress {
  std::vector<EpochMetrics> history;  ///< one row an epoch done
  int64_t best_epoch = 0;             ///< of highest validation accuracy, the first of equals; 0: none yet
  double best_accuracy = -1.0;
  int64_t planned_epochs = 0;  ///< that the schedule of the last epoch was laid out for; 0: not known
};

/// What changes from step to step; `ema` may be null.
struct TrainingState {
  Model& model;
  Optimizer& optimizer;
  EmaWeights* ema = nullptr;
  TrainingProgress& progress;
};

struct CheckpointInfo {
  std::string model;     ///< "resnet18"
  int64_t channels = 0;  ///< of the raw images
  int64_t classes = 0;
  SafetensorsMetadata evaluation;  ///< evaluation_metadata of the run
  std::string validation;          ///< TrainingData::validation_fingerprint
  std::string images;              ///< TrainingData::images_fingerprint
  std::string groups;              ///< TrainingData::groups_fingerprint
  std::string size;                ///< of the raw images, "64 x 64", where they are taken whole; else ""
};

/// What the weights mean nothing without, from config.toml, classes.csv and the tables of the fusion: model, fusion,
/// white, shrink, crop, normalize, stem, and the number and names of the classes.
SafetensorsMetadata evaluation_metadata(const TrainOptions& options, const std::vector<std::string>& classes,
                                        const FusionTables& fusion);

/// Fails where metadata of `file` (named `source`) says something else than `expected`, such as that of another run.
/// What it does not say at all, as in weights that PyTorch wrote, passes.
void require_metadata(const SafetensorsFile& file, const std::string& source,
                      const SafetensorsMetadata& expected);

/// 64 bits that tell lists of texts apart.
std::string fingerprint(const std::vector<std::string>& texts);

/// Weights alone, the averaged ones where there is an EMA: what eval and predict read.
void write_best(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info);
/// Everything.
void write_last(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info);
/// Takes over weights that write_best wrote, and returns their epoch. Throws Error naming the file where it is
/// malformed, damaged or of another run; then the model is not to be used.
int64_t read_best(const std::filesystem::path& file, Model& model, const CheckpointInfo& info);
/// Takes over what write_last wrote. Throws Error naming the file where it is malformed or of another model; then
/// the state is not to be used.
void read_last(const std::filesystem::path& file, TrainingState& state, const CheckpointInfo& info);

/// TrainingProgress::planned_epochs of a last.safetensors; nothing where an earlier version wrote it. Throws Error
/// naming the file where it cannot be read.
std::optional<int64_t> planned_epochs(const std::filesystem::path& file);

/// Channels of the raw images. Of weights that PyTorch wrote, without cytograd's metadata, it is what the first
/// convolution reads, or what the fusion takes. Throws Error where `file` (named `source`) has neither.
int64_t checkpoint_channels(const SafetensorsFile& file, const std::string& source,
                            const FusionTables& fusion);

/// CheckpointInfo::size; "" where the file does not say.
std::string checkpoint_size(const SafetensorsFile& file);

/// How the names of tensors begin that last.safetensors holds beside the weights.
const std::vector<std::string>& training_state_prefixes();

}  // namespace cytograd
