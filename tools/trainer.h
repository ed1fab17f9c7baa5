// The training loop.
#pragma once

#include <memory>
#include <vector>

#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "tools/checkpoint_file.h"
#include "tools/evaluator.h"
#include "tools/training_data.h"

namespace cytograd {

/// Trains a model on `data`, an epoch at a time, into a run folder. Draws depend on the seed, the epoch and the sample
/// alone, and the state is saved after every epoch, so a resumed run is bitwise the run that was never stopped.
class Trainer {
 public:
  /// `options` has its stem resolved. Throws Error where options and data do not fit each other.
  Trainer(const TrainOptions& options, TrainingData& data, RunFolder folder);

  /// Goes on from last.safetensors, and writes best.safetensors where that is gone. Throws Error where it is of another
  /// run, or of other validation images.
  void resume();

  /// Trains the epochs that are left; prints a line for each on stdout. Throws Error where the loss stops being finite.
  void run();

  const TrainingProgress& progress() const { return progress_; }
  int64_t parameter_count() const;

 private:
  struct EpochTotals {
    double loss_sum = 0.0;  // over images
    int64_t correct = 0;
    int64_t images = 0;
    double seconds = 0.0;
    double stall_seconds = 0.0;
    double learning_rate = 0.0;
  };

  EpochTotals train_epoch(int64_t epoch);
  double train_step(const Batch& batch, EpochTotals& totals);
  Evaluation validate();
  TrainingState state() { return {*model_, *optimizer_, ema_.get(), progress_}; }
  CheckpointInfo info() const;

  TrainOptions options_;
  TrainingData& data_;
  RunFolder folder_;
  Device device_;
  PreprocessOptions preprocess_;
  std::unique_ptr<Model> model_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<EmaWeights> ema_;
  ScheduleOptions schedule_;
  Tensor class_weights_;  // [K] or undefined
  LoaderOptions loader_;
  TrainingProgress progress_;
};

/// Resolves --stem auto for inputs of `side` pixels: 3x3 up to 32, where stride 4 would leave too little to see.
std::string resolve_stem(const TrainOptions& options, int64_t side);

}  // namespace cytograd
