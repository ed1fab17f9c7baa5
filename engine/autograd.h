// Reverse-mode differentiation on a tape. Ops record a node each; backward walks the nodes in reverse.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace cytograd {

/// A tensor in a computation. Its gradient is found under `slot`, its identity; without one it is a constant.
class Variable {
 public:
  Variable() = default;
  /// A constant.
  Variable(Tensor value)
      : value_(std::move(value)) {}  // NOLINT: a tensor is a constant wherever one is asked for

  /// A leaf whose gradient can be asked for.
  static Variable leaf(Tensor value);

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  /// The storage of a leaf, for an optimizer's in-place step.
  Tensor& mutable_value() { return value_; }
  const Shape& shape() const { return value_.shape(); }
  bool requires_grad() const { return slot_ != nullptr; }

 private:
  friend class Tape;
  struct Slot {};

  Tensor value_;
  std::shared_ptr<Slot> slot_;
};

/// From dy, the gradient of the loss by the op's result, to the gradients by its inputs, in their order.
/// Entries whose `needed` is false are not used and may be undefined.
using GradientRule = std::function<std::vector<Tensor>(const Tensor& dy, std::span<const bool> needed)>;
/// The same from dy + more, of an op that adds them as it reads them. `more` is undefined where there is nothing to
/// add.
using SumGradientRule =
    std::function<std::vector<Tensor>(const Tensor& dy, const Tensor& more, std::span<const bool> needed)>;

/// Is told of each op once it is queued; either may be empty.
struct TapeObserver {
  /// As the op is recorded: its name, its result, its inputs in their order.
  std::function<void(std::string_view op, const Tensor& y, std::span<const Variable> inputs)> recorded;
  /// As the gradients by its inputs have been found, for the op recorded as the `index`th, counted from 0.
  std::function<void(size_t index)> differentiated;
};

/// Records the ops of its thread from construction to destruction. Tapes nest; the innermost records.
class Tape {
 public:
  explicit Tape(TapeObserver observer = {});
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Gradients of the f32 scalar `loss`, times the f32 scalar `scale` (undefined: 1), by each of `wrt`, in their order;
  /// zeros where the loss does not depend on one. Consumes the tape: saved tensors are freed as the walk passes them.
  /// Throws CheckError where `loss` is no f32 scalar that this tape has recorded since it was last consumed, or one of
  /// `wrt` is a constant; the tape is then as it was.
  std::vector<Tensor> backward(const Variable& loss, std::span<const Variable> wrt, const Tensor& scale = {});

 private:
  friend Variable record(std::string_view, Tensor, const std::vector<Variable>&, GradientRule);
  friend Variable record(std::string_view, Tensor, const std::vector<Variable>&, SumGradientRule);
  friend class NoGrad;
  struct Node;

  static Variable record_node(Node node, Tensor y, const std::vector<Variable>& inputs);

  std::vector<Node> nodes_;
  TapeObserver observer_;
  Tape* outer_ = nullptr;
};

/// While it lives, ops of its thread record nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  Tape* suspended_ = nullptr;
};

/// Wraps an op's result. Where a tape records and an input requires a gradient, appends the node (op, rule)
/// to it; else the result is a constant and the rule, with what it saved, is dropped.
Variable record(std::string_view op, Tensor y, const std::vector<Variable>& inputs, GradientRule rule);
Variable record(std::string_view op, Tensor y, const std::vector<Variable>& inputs, SumGradientRule rule);

}  // namespace cytograd
