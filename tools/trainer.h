// The training loop.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "tools/checkpoint_file.h"
#include "tools/evaluator.h"
#include "tools/train_step.h"
#include "tools/training_data.h"

namespace cytograd {

/// Trains a model on `data`, an epoch at a time, into a run folder. Draws depend on the seed, the epoch and the sample
/// alone, and the state is saved after every epoch, so a resumed run is bitwise the run that was never stopped.
class Trainer {
 public:
  /// `options` has its stem resolved. Throws Error where options and data do not fit each other.
  Trainer(const TrainOptions& options, TrainingData& data, FusionTables fusion, RunFolder folder);

  /// Goes on from last.safetensors, and writes best.safetensors where that is gone. Throws Error where it is of another
  /// run, or of other validation images.
  void resume();

  /// Trains the epochs that are left; prints a line for each on stdout. Throws Error where the loss stops being finite.
  void run();

  const TrainingProgress& progress() const { return progress_; }
  int64_t parameter_count() const;

 private:
  struct EpochTotals {
    double loss_sum = 0.0;  // over the images of the steps taken
    int64_t correct = 0;
    int64_t images = 0;
    int64_t skipped = 0;  // images of steps whose gradients overflowed f16
    int64_t steps = 0;
    double seconds = 0.0;
    double stall_seconds = 0.0;
    double learning_rate = 0.0;
  };

  /// A step that may still be under way.
  struct PendingStep {
    int64_t number = 0;  // counted from 1
    int64_t images = 0;
    std::function<TrainStep::Result()> result;
  };

  EpochTotals train_epoch(int64_t epoch);
  /// Waits for the step and adds it up. Throws Error where the training has diverged.
  void finish(const PendingStep& step, EpochTotals& totals) const;
  /// Of the averaged weights where there are any, as write_best has them.
  Evaluation validate(int64_t epoch);
  EvaluatorOptions evaluator() const;
  TrainingState state() { return {*model_, *optimizer_, ema_.get(), progress_}; }
  CheckpointInfo info() const;

  TrainOptions options_;
  TrainingData& data_;
  FusionTables fusion_;
  RunFolder folder_;
  Device device_;
  PreprocessOptions preprocess_;
  std::unique_ptr<Model> model_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<EmaWeights> ema_;
  std::unique_ptr<TrainStep> step_;
  ScheduleOptions schedule_;
  LoaderOptions loader_;
  TrainingProgress progress_;
};

/// Resolves --stem auto for inputs of `side` pixels: 3x3 up to 32, where stride 4 would leave too little to see.
std::string resolve_stem(const TrainOptions& options, int64_t side);

}  // namespace cytograd
