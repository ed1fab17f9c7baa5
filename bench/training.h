// A model in training on inputs that stay the same: whole steps as `cytograd train` takes them, and a step by its
// phases.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "models/model.h"

namespace cytograd::bench {

/// A part of a step, queued on the device.
struct Phase {
  std::string name;
  std::function<void()> run;
};

/// Seconds that one op of a step took, with a wait for the device after it.
struct OpTime {
  std::string op;
  std::vector<Shape> shapes = {};  ///< of its inputs, then of its result
  double forward = 0.0;
  double backward = 0.0;  ///< what finding its inputs' gradients and adding them to others took
};

class Training {
 public:
  /// x [N, H, W, C] and labels i64 [N], on one device, which may be overwritten between steps. SGD with momentum; in
  /// f16 with a dynamic loss scale.
  Training(const ModelOptions& options, Tensor x, Tensor labels);

  /// Queues forward, loss, backward, optimizer. On a GPU, steps from the second launch one graph, as TrainStep's do.
  void step();

  /// Of the last step, whole or by its phases; waits for it.
  float last_loss() const { return last_loss_.item(); }

  /// The same work as forward, backward, optimizer, to be run in this order; on a GPU each is a graph. After a step.
  std::vector<Phase> phases();

  /// Queues a pass in evaluation, as `cytograd predict` runs it, there within ConstantWeights.
  void infer();

  /// Floating-point operations of the step's convolutions and linear layers: two a multiply-add, forward and for each
  /// gradient, without those of padding.
  double operations();

  /// A step with a wait after each op; last comes "optimizer", as if it were forward.
  std::vector<OpTime> time_by_op();

  /// Elements of all parameters.
  int64_t parameters() const;

  /// Bytes of the device in use at a step's peak, as its pool counts them.
  size_t peak_bytes();

  Model& model() { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }

 private:
  void forward(const TapeObserver& observer = {});
  void backward();
  void update();
  void compute();

  Tensor x_;
  Tensor labels_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Variable> leaves_;
  // What one phase leaves to the next.
  std::optional<Tape> tape_;
  Variable loss_;
  Tensor correct_;
  std::vector<Tensor> gradients_;
  // What a step leaves.
  Tensor last_loss_;
  Tensor last_correct_;
  std::function<void()> captured_;
  bool has_run_ = false;
};

}  // namespace cytograd::bench
