// Optimizers as the training loop sees them: parameters and gradients in, moments kept inside.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/named_tensor.h"
#include "engine/parameter.h"
#include "engine/step_state.h"

namespace cytograd {

enum class OptimizerKind : uint8_t { sgd, adamw };

/// "sgd" or "adamw"; throws Error for another name.
OptimizerKind parse_optimizer(std::string_view name);

/// Weight decay is decoupled in both (Loshchilov and Hutter, arXiv:1711.05101): w -= learning_rate *
/// weight_decay * w before the step, which for SGD is not torch.optim.SGD's L2 term in the gradient.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  float weight_decay = 0.0f;  ///< of the parameters with `decay`
  float momentum = 0.9f;      ///< sgd
  bool nesterov = false;      ///< sgd
  float beta1 = 0.9f;         ///< adamw
  float beta2 = 0.999f;       ///< adamw
  float epsilon = 1e-8f;      ///< adamw
  /// Gradients in f16 need a factor that keeps small ones from vanishing. This finds it: it halves where a gradient
  /// overflows, which costs the step, and doubles after 2000 steps that went well (arXiv:1710.03740).
  bool dynamic_loss_scale = false;
};

/// Updates f32 parameters in place, all in one multi-tensor step: torch.optim.SGD's momentum, or
/// torch.optim.AdamW. All that a step reads and writes is on the device: nothing waits, and a step can be captured.
class Optimizer {
 public:
  /// The variables must outlive the optimizer and stay on their one device. Moments start at zero.
  Optimizer(std::vector<Parameter> parameters, const OptimizerOptions& options);

  /// Of the steps that are queued or launched after this.
  void set_learning_rate(float learning_rate);

  /// One step with the gradients of the parameters in their order, each of its parameter's shape and any
  /// floating type. Gradients carry the factor loss_scale(). They are clipped to a norm of `clip_norm` all together,
  /// as torch.nn.utils.clip_grad_norm_; 0: not clipped. Where the norm is not finite, nothing is changed and the step
  /// counts as an attempt only.
  void step(std::span<const Tensor> gradients, float clip_norm = 0.0f);

  /// f32 []: the factor for the next loss, as Tape::backward takes it.
  const Tensor& loss_scale() const { return scalars_.loss_scale; }
  /// f32 []: norm of the last step's gradients before clipping, without the loss scale.
  const Tensor& norm() const { return scalars_.norm; }
  /// i64 []: steps attempted.
  const Tensor& attempts() const { return scalars_.attempts; }
  /// Steps taken; waits for the device.
  int64_t steps() const;
  const std::vector<Parameter>& parameters() const { return parameters_; }

  /// "optimizer.step" (i64 scalar), "optimizer.first.<name>" where there is momentum, AdamW's
  /// "optimizer.second.<name>", and with a dynamic loss scale "optimizer.attempts", "optimizer.steady" (i64 scalars)
  /// and "optimizer.loss_scale" (f32 scalar). The optimizer's own, on its device, not copies.
  std::vector<NamedTensor> state() const;
  /// Takes over values saved by state(); other names are passed over. Throws Error that names a tensor which
  /// is missing or has another shape or type, and changes nothing then.
  void load_state(std::span<const NamedTensor> tensors);

 private:
  std::vector<Parameter> parameters_;
  OptimizerOptions options_;
  std::vector<Tensor> first_;   // [parameters], undefined without momentum
  std::vector<Tensor> second_;  // [parameters], undefined for SGD
  StepState scalars_;
};

/// An exponential moving average of the parameters: average = d * average + (1 - d) * w with
/// d = min(decay, (1 + t) / (10 + t)) at update t = 1, 2, ..., so that the first weights are soon forgotten.
class EmaWeights {
 public:
  /// Starts at the parameters' values. `statistics`: f32 buffers of which the averages have their own, which swap()
  /// exchanges too and nothing averages. The variables and buffers must outlive it.
  EmaWeights(std::vector<Parameter> parameters, float decay, std::vector<NamedBuffer> statistics = {});

  /// Counts an update, whose decay it sets; update() is the work, which can be captured.
  void begin_update();
  void update();
  /// Exchanges averages and parameters in place: to evaluate with the averages, and again to train on.
  void swap();

  int64_t updates() const { return updates_; }
  /// The averages under the parameters' names: its own tensors, not copies.
  std::vector<NamedTensor> averages() const;
  /// "ema.step" (i64 scalar) and "ema.<name>", statistics too.
  std::vector<NamedTensor> state() const;
  /// As Optimizer::load_state. Statistics that are not there, as in states from before there were any, become those of
  /// the buffers.
  void load_state(std::span<const NamedTensor> tensors);

 private:
  std::vector<Parameter> parameters_;
  std::vector<NamedBuffer> statistics_;
  std::vector<Tensor> own_statistics_;
  float decay_;
  std::vector<Tensor> averages_;
  Tensor step_decay_;  // f32 [], on the device
  int64_t updates_ = 0;
};

}  // namespace cytograd
