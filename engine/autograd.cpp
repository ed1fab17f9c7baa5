#include "engine/autograd.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "engine/backend.h"

namespace cytograd {
namespace {

thread_local Tape* current_tape = nullptr;

/// A gradient as it grows. What came last is added once something else comes, or by what reads the gradient.
struct Gradient {
  Tensor dy;
  Tensor more;

  void add(Backend& device, Tensor part) {
    join(device);
    (dy.defined() ? more : dy) = std::move(part);
  }
  void join(Backend& device) {
    if (more.defined()) dy = device.add(dy, more);
    more = Tensor();
  }
};

}  // namespace

struct Tape::Node {
  std::string_view op;
  std::shared_ptr<Variable::Slot> output;
  std::vector<std::shared_ptr<Variable::Slot>> inputs;  // null: a constant
  GradientRule rule;
  SumGradientRule sum_rule;  // one of the two is empty
};

Variable Variable::leaf(Tensor value) {
  Variable variable(std::move(value));
  variable.slot_ = std::make_shared<Slot>();
  return variable;
}

Tape::Tape(TapeObserver observer) : observer_(std::move(observer)), outer_(current_tape) {
  current_tape = this;
}

Tape::~Tape() { current_tape = outer_; }

NoGrad::NoGrad() : suspended_(current_tape) { current_tape = nullptr; }

NoGrad::~NoGrad() { current_tape = suspended_; }

Variable record(std::string_view op, Tensor y, const std::vector<Variable>& inputs, GradientRule rule) {
  return Tape::record_node({op, nullptr, {}, std::move(rule), nullptr}, std::move(y), inputs);
}

Variable record(std::string_view op, Tensor y, const std::vector<Variable>& inputs, SumGradientRule rule) {
  return Tape::record_node({op, nullptr, {}, nullptr, std::move(rule)}, std::move(y), inputs);
}

Variable Tape::record_node(Node node, Tensor y, const std::vector<Variable>& inputs) {
  Variable result(std::move(y));
  const bool needed =
      std::any_of(inputs.begin(), inputs.end(), [](const Variable& v) { return v.requires_grad(); });
  if (current_tape == nullptr || !needed) return result;
  result.slot_ = std::make_shared<Variable::Slot>();
  const std::string_view op = node.op;
  node.output = result.slot_;
  for (const Variable& input : inputs) node.inputs.push_back(input.slot_);
  current_tape->nodes_.push_back(std::move(node));
  if (current_tape->observer_.recorded) current_tape->observer_.recorded(op, result.value_, inputs);
  return result;
}

std::vector<Tensor> Tape::backward(const Variable& loss, std::span<const Variable> wrt, const Tensor& scale) {
  CHECK(loss.value().elements() == 1 && loss.value().dtype() == DType::f32, "the loss is {} {}",
        dtype_name(loss.value().dtype()), loss.shape());
  CHECK(loss.requires_grad(), "nothing the loss depends on requires a gradient");
  CHECK(std::any_of(nodes_.rbegin(), nodes_.rend(), [&](const Node& n) { return n.output == loss.slot_; }),
        "the loss was not recorded by this tape, or a backward has consumed it");
  CHECK(!scale.defined() ||
            (scale.elements() == 1 && scale.dtype() == DType::f32 && scale.device() == loss.value().device()),
        "the scale is {} {} on {}", dtype_name(scale.dtype()), scale.shape(), device_name(scale.device()));
  for (const Variable& variable : wrt)
    CHECK(variable.requires_grad(), "a gradient is asked for by a constant of shape {}", variable.shape());
  Backend& device = backend(loss.value().device());
  const NoGrad no_grad;

  std::unordered_map<Variable::Slot*, Gradient> gradients;
  gradients[loss.slot_.get()].dy = scale.defined()
                                       ? scale.reshape(loss.shape())
                                       : Tensor::full(loss.shape(), 1.0f, DType::f32, loss.value().device());
  std::unordered_set<Variable::Slot*> asked;
  for (const Variable& variable : wrt) asked.insert(variable.slot_.get());
  // A gradient that is not asked for is dropped as soon as its node has used it.
  for (; !nodes_.empty(); nodes_.pop_back()) {
    Node& node = nodes_.back();
    const auto found = gradients.find(node.output.get());
    if (found == gradients.end()) continue;  // the loss does not depend on this node
    const bool is_asked = asked.contains(node.output.get());
    if (node.rule || is_asked) found->second.join(device);
    const Gradient gradient = found->second;
    if (!is_asked) gradients.erase(found);

    std::array<bool, 8> needed{};
    CHECK(node.inputs.size() <= needed.size(), "{} has {} inputs", node.op, node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) needed[i] = node.inputs[i] != nullptr;
    const std::span<const bool> of_inputs(needed.data(), node.inputs.size());
    std::vector<Tensor> parts =
        node.rule ? node.rule(gradient.dy, of_inputs) : node.sum_rule(gradient.dy, gradient.more, of_inputs);
    CHECK(parts.size() == node.inputs.size(), "{} returned {} gradients for {} inputs", node.op, parts.size(),
          node.inputs.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!needed[i]) continue;
      CHECK(parts[i].defined(), "{} returned no gradient for input {}", node.op, i);
      gradients[node.inputs[i].get()].add(device, std::move(parts[i]));
    }
    if (observer_.differentiated) observer_.differentiated(nodes_.size() - 1);
  }

  std::vector<Tensor> results;
  results.reserve(wrt.size());
  for (const Variable& variable : wrt) {
    const auto found = gradients.find(variable.slot_.get());
    if (found != gradients.end()) {
      found->second.join(device);
      results.push_back(found->second.dy);
    } else {
      const Tensor& value = variable.value();
      results.push_back(Tensor::zeros(value.shape(), value.dtype(), value.device()));
    }
  }
  return results;
}

}  // namespace cytograd
