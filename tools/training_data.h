// Which images a run trains on and which it validates on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/evaluator.h"
#include "tools/pipeline.h"

namespace cytograd {

struct TrainingData {
  std::unique_ptr<LoadedData> images;             ///< of --data
  std::unique_ptr<LoadedData> validation_images;  ///< of --val; null: validation is part of `images`
  int32_t white = 65535;                          ///< of --white, or of the pack that --data is
  std::vector<std::string> classes;
  std::string label_column;
  std::string group_column;  ///< "": none

  std::vector<int64_t> train;       ///< samples of `images`, also such as cannot be read
  std::vector<int64_t> validation;  ///< of `validation_data()`, likewise
  std::vector<int64_t> train_labels;
  std::vector<int64_t>
      train_domains;  ///< aligned with `train`, of --sampler; empty: batches are of any images
  std::vector<int64_t> validation_labels;
  std::vector<int64_t> validation_domains;  ///< aligned, of --adabn; empty: none
  std::vector<std::string> held_out_groups;
  std::string images_fingerprint;  ///< of the names and labels of all that --data names, be they there or not
  std::string groups_fingerprint;  ///< of their splits, groups, plates and wells; of --val also the labels
  std::string validation_fingerprint;  ///< of the groups held out, or of the names of the validation images
  bool own_split = false;              ///< validation is what the dataset itself calls val

  LoadedData& validation_data() { return validation_images ? *validation_images : *images; }
};

/// Keeps what a run looks at by default: without a --where on them, treatment wells where the label is sirna, and, in
/// training, the splits train and val. Prints what that leaves out.
void apply_default_filters(Dataset& dataset, const TrainOptions& options, const std::string& label,
                           bool training);

/// Opens --data (and --val), splits by --val, --val-group, the dataset's own val split, or --val-fraction, and indexes
/// the classes. Throws Error for everything a user can mend.
TrainingData load_training_data(const TrainOptions& options);

/// The validation images for run_model.
EvaluationImages validation_images(TrainingData& data, const TrainOptions& options, Device device);

/// Group names of samples, aligned; empty without a column.
std::vector<std::string> group_names(const Dataset& dataset, const std::string& column,
                                     const std::vector<int64_t>& samples);

/// Class index of each sample by its label column; -1 where the label is empty. Throws Error for a label that is no
/// class of the model.
std::vector<int64_t> label_samples(const Dataset& dataset, const std::string& column,
                                   const std::vector<std::string>& classes);

}  // namespace cytograd
