#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>

#include "engine/backend.h"

namespace cytograd {
namespace {

Device device_of(const std::vector<Parameter>& parameters) {
  CHECK(!parameters.empty() && parameters.front().variable != nullptr);
  return parameters.front().variable->value().device();
}

void check_parameters(const std::vector<Parameter>& parameters) {
  for (const Parameter& p : parameters) {
    CHECK(p.variable != nullptr && p.variable->defined(), "{}", p.name);
    const Tensor& w = p.variable->value();
    CHECK(w.dtype() == DType::f32 && w.device() == device_of(parameters), "{}: {} {} on {}", p.name,
          dtype_name(w.dtype()), w.shape(), device_name(w.device()));
  }
}

Tensor count_tensor(int64_t count) { return Tensor::from(std::vector<int64_t>{count}, {}); }

/// nullptr where there is none.
const Tensor* find(std::span<const NamedTensor> tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& candidate) { return candidate.name == name; });
  return found == tensors.end() ? nullptr : &found->tensor;
}

const Tensor& require(std::span<const NamedTensor> tensors, const std::string& name, const Shape& shape,
                      DType dtype) {
  const Tensor* const found = find(tensors, name);
  if (found == nullptr) fail("the saved state has no tensor '{}'", name);
  const Tensor& tensor = *found;
  if (tensor.shape() != shape || tensor.dtype() != dtype)
    fail("the saved tensor '{}' is {} {}, not {} {}", name, dtype_name(tensor.dtype()), tensor.shape(),
         dtype_name(dtype), shape);
  return tensor;
}

int64_t require_count(std::span<const NamedTensor> tensors, const std::string& name) {
  constexpr int64_t kMost = int64_t{1} << 53;  // of steps: more than any run has, and f64 counts them all
  const int64_t count = require(tensors, name, {}, DType::i64).to_vector<int64_t>().front();
  if (count < 0 || count > kMost) fail("the saved count '{}' is {}", name, count);
  return count;
}

/// Where saved values go, once all of them are found to fit.
struct Restore {
  Tensor destination;
  Tensor source;
};

void restore(std::vector<Restore>& items) {
  for (Restore& item : items) item.destination.copy_from(item.source);
}

}  // namespace

OptimizerKind parse_optimizer(std::string_view name) {
  if (name == "sgd") return OptimizerKind::sgd;
  if (name == "adamw") return OptimizerKind::adamw;
  fail("unknown optimizer '{}'; known: sgd, adamw", name);
}

Optimizer::Optimizer(std::vector<Parameter> parameters, const OptimizerOptions& options)
    : parameters_(std::move(parameters)), options_(options), scalars_(device_of(parameters_)) {
  check_parameters(parameters_);
  const bool adamw = options_.kind == OptimizerKind::adamw;
  first_.resize(parameters_.size());
  second_.resize(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& w = parameters_[i].variable->value();
    if (adamw || options_.momentum != 0.0f) first_[i] = Tensor::zeros(w.shape(), DType::f32, w.device());
    if (adamw) second_[i] = Tensor::zeros(w.shape(), DType::f32, w.device());
  }
  if (options_.dynamic_loss_scale) backend(device_of(parameters_)).fill(scalars_.loss_scale, kFirstLossScale);
}

void Optimizer::set_learning_rate(float learning_rate) {
  backend(device_of(parameters_)).fill(scalars_.learning_rate, learning_rate);
}

void Optimizer::step(std::span<const Tensor> gradients, float clip_norm) {
  CHECK(gradients.size() == parameters_.size(), "{} gradients of {} parameters", gradients.size(),
        parameters_.size());
  std::vector<OptimizerTerm> terms;
  terms.reserve(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    const Tensor& w = p.variable->value();
    CHECK(gradients[i].shape() == w.shape() && gradients[i].device() == w.device(), "{} {}, its gradient {}",
          p.name, w.shape(), gradients[i].shape());
    terms.push_back({w, gradients[i], first_[i], second_[i], p.decay ? options_.weight_decay : 0.0f});
  }

  Backend& device = backend(device_of(parameters_));
  device.begin_step(gradients, scalars_,
                    {.max_norm = clip_norm,
                     .beta1 = options_.beta1,
                     .beta2 = options_.beta2,
                     .dynamic_loss_scale = options_.dynamic_loss_scale});
  if (options_.kind == OptimizerKind::sgd) {
    device.sgd_step(terms, scalars_, {.momentum = options_.momentum, .nesterov = options_.nesterov});
  } else {
    device.adamw_step(terms, scalars_,
                      {.beta1 = options_.beta1, .beta2 = options_.beta2, .epsilon = options_.epsilon});
  }
}

int64_t Optimizer::steps() const { return scalars_.steps.to_vector<int64_t>().front(); }

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors{{"optimizer.step", scalars_.steps}};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (first_[i].defined()) tensors.push_back({"optimizer.first." + parameters_[i].name, first_[i]});
    if (second_[i].defined()) tensors.push_back({"optimizer.second." + parameters_[i].name, second_[i]});
  }
  if (options_.dynamic_loss_scale) {
    tensors.push_back({"optimizer.attempts", scalars_.attempts});
    tensors.push_back({"optimizer.steady", scalars_.steady});
    tensors.push_back({"optimizer.loss_scale", scalars_.loss_scale});
  }
  return tensors;
}

void Optimizer::load_state(std::span<const NamedTensor> tensors) {
  std::vector<Restore> items;
  for (const NamedTensor& own : state()) {
    if (own.tensor.dtype() == DType::i64) require_count(tensors, own.name);
    items.push_back({own.tensor, require(tensors, own.name, own.tensor.shape(), own.tensor.dtype())});
  }
  if (options_.dynamic_loss_scale) {
    const float scale = require(tensors, "optimizer.loss_scale", {}, DType::f32).item();
    if (!std::isfinite(scale) || scale <= 0.0f) fail("the saved 'optimizer.loss_scale' is {}", scale);
  }
  restore(items);
  if (!options_.dynamic_loss_scale) scalars_.attempts.copy_from(scalars_.steps);
}

EmaWeights::EmaWeights(std::vector<Parameter> parameters, float decay, std::vector<NamedBuffer> statistics)
    : parameters_(std::move(parameters)), statistics_(std::move(statistics)), decay_(decay) {
  CHECK(decay >= 0.0f && decay <= 1.0f, "decay {}", decay);
  check_parameters(parameters_);
  for (const Parameter& p : parameters_) averages_.push_back(p.variable->value().clone());
  for (const NamedBuffer& b : statistics_) {
    CHECK(b.tensor->dtype() == DType::f32, "{}: {}", b.name, dtype_name(b.tensor->dtype()));
    own_statistics_.push_back(b.tensor->clone());
  }
  step_decay_ = Tensor::zeros({}, DType::f32, device_of(parameters_));
}

void EmaWeights::begin_update() {
  const auto t = static_cast<float>(++updates_);
  backend(device_of(parameters_)).fill(step_decay_, std::min(decay_, (1.0f + t) / (10.0f + t)));
}

void EmaWeights::update() {
  std::vector<Backend::EmaTerm> terms;
  for (size_t i = 0; i < parameters_.size(); ++i)
    terms.push_back({averages_[i], parameters_[i].variable->value()});
  backend(device_of(parameters_)).ema_step(terms, step_decay_);
}

void EmaWeights::swap() {
  const auto exchange = [](Tensor& a, Tensor& b) {
    const Tensor before = a.clone();
    a.copy_from(b);
    b.copy_from(before);
  };
  for (size_t i = 0; i < parameters_.size(); ++i)
    exchange(parameters_[i].variable->mutable_value(), averages_[i]);
  for (size_t i = 0; i < statistics_.size(); ++i) exchange(*statistics_[i].tensor, own_statistics_[i]);
}

std::vector<NamedTensor> EmaWeights::averages() const {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < parameters_.size(); ++i) tensors.push_back({parameters_[i].name, averages_[i]});
  return tensors;
}

std::vector<NamedTensor> EmaWeights::state() const {
  std::vector<NamedTensor> tensors{{"ema.step", count_tensor(updates_)}};
  for (const NamedTensor& average : averages()) tensors.push_back({"ema." + average.name, average.tensor});
  for (size_t i = 0; i < statistics_.size(); ++i)
    tensors.push_back({"ema." + statistics_[i].name, own_statistics_[i]});
  return tensors;
}

void EmaWeights::load_state(std::span<const NamedTensor> tensors) {
  const int64_t updates = require_count(tensors, "ema.step");
  std::vector<Restore> items;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string name = "ema." + parameters_[i].name;
    items.push_back({averages_[i], require(tensors, name, averages_[i].shape(), DType::f32)});
  }
  for (size_t i = 0; i < statistics_.size(); ++i) {
    const std::string name = "ema." + statistics_[i].name;
    const Tensor& own = own_statistics_[i];
    items.push_back({own, find(tensors, name) != nullptr ? require(tensors, name, own.shape(), DType::f32)
                                                         : *statistics_[i].tensor});
  }
  restore(items);
  updates_ = updates;
}

}  // namespace cytograd
