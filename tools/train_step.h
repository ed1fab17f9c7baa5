// One training step: preprocess, forward, loss, backward, optimizer, averaged weights, queued on a device.
#pragma once

#include <functional>

#include "data/loader.h"
#include "engine/optimizer.h"
#include "models/model.h"

namespace cytograd {

class TrainStep {
 public:
  struct Options {
    Device device = Device::cpu;
    PreprocessOptions preprocess = {};
    Tensor class_weights = {};  ///< [K] or undefined
    float label_smoothing = 0.0f;
    float clip_norm = 0.0f;  ///< 0: not clipped
    uint64_t seed = 0;       ///< of dropout
    int64_t batch = 0;       ///< images of a full batch
  };
  struct Result {
    float loss = 0.0f;
    float correct = 0.0f;     ///< images
    float norm = 0.0f;        ///< of the gradients; not finite: the step was not taken
    float loss_scale = 1.0f;  ///< for the next step
  };

  /// All outlive it, and the variables stay as they are. `ema` may be null.
  TrainStep(Model& model, Optimizer& optimizer, EmaWeights* ema, const Options& options);

  /// Queues a step; the function that it returns waits for that step alone. On a GPU the second full batch's step is
  /// captured as a graph, which the full batches after it launch.
  std::function<Result()> run(const Batch& batch, float learning_rate);
  /// Whether full batches launch a graph by now.
  bool captured() const { return graph_ != nullptr; }

 private:
  void run_full(const Tensor& images, const Batch& batch);
  void compute(const Tensor& x, const Tensor& labels);

  Model& model_;
  Optimizer& optimizer_;
  EmaWeights* ema_;
  Options options_;
  std::vector<Variable> leaves_;
  Tensor loss_;     // f32 []
  Tensor correct_;  // f32 []
  // What the graph reads.
  Tensor x_;
  Tensor labels_;
  std::function<void()> graph_;
};

}  // namespace cytograd
