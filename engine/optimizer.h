// Optimizers as the training loop sees them: parameters and gradients in, moments kept inside.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/named_tensor.h"
#include "engine/parameter.h"

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
};

/// Updates f32 parameters in place, all in one multi-tensor step: torch.optim.SGD's momentum, or
/// torch.optim.AdamW.
class Optimizer {
 public:
  /// The variables must outlive the optimizer and stay on their one device. Moments start at zero.
  Optimizer(std::vector<Parameter> parameters, const OptimizerOptions& options);

  /// One step with the gradients of the parameters in their order, each of its parameter's shape and any
  /// floating type. Gradients carry the factor `loss_scale` of the loss they come from. They are clipped to a
  /// norm of `clip_norm` all together, as torch.nn.utils.clip_grad_norm_; 0: not clipped. Returns the norm
  /// before clipping, without the loss scale. Where it is not finite, nothing is changed and the step does
  /// not count.
  float step(std::span<const Tensor> gradients, float learning_rate, float clip_norm = 0.0f,
             float loss_scale = 1.0f);

  /// Steps taken.
  int64_t steps() const { return steps_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }

  /// "optimizer.step" (i64 scalar), "optimizer.first.<name>" where there is momentum, and AdamW's
  /// "optimizer.second.<name>". The moments are the optimizer's own, on its device, not copies.
  std::vector<NamedTensor> state() const;
  /// Takes over values saved by state(); other names are passed over. Throws Error that names a tensor which
  /// is missing or has another shape or type, and changes nothing then.
  void load_state(std::span<const NamedTensor> tensors);

 private:
  std::vector<Parameter> parameters_;
  OptimizerOptions options_;
  std::vector<Tensor> first_;   // [parameters], undefined without momentum
  std::vector<Tensor> second_;  // [parameters], undefined for SGD
  int64_t steps_ = 0;
};

/// An exponential moving average of the parameters: average = d * average + (1 - d) * w with
/// d = min(decay, (1 + t) / (10 + t)) at update t = 1, 2, ..., so that the first weights are soon forgotten.
class EmaWeights {
 public:
  /// Starts at the parameters' values. The variables must outlive it.
  EmaWeights(std::vector<Parameter> parameters, float decay);

  void update();
  /// Exchanges averages and parameters in place: to evaluate with the averages, and again to train on.
  void swap();

  int64_t updates() const { return updates_; }
  /// The averages under the parameters' names: its own tensors, not copies.
  std::vector<NamedTensor> averages() const;
  /// "ema.step" (i64 scalar) and "ema.<name>".
  std::vector<NamedTensor> state() const;
  /// As Optimizer::load_state.
  void load_state(std::span<const NamedTensor> tensors);

 private:
  std::vector<Parameter> parameters_;
  float decay_;
  std::vector<Tensor> averages_;
  int64_t updates_ = 0;
};

}  // namespace cytograd
