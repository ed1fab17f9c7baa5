#include "bench/training.h"

#include <chrono>
#include <utility>

#include "bench/operations.h"
#include "engine/backend.h"
#include "engine/check.h"
#include "engine/ops.h"

namespace cytograd::bench {
namespace {

/// Of a convolution whose window lies about its pixel, as a model's all do.
Conv2dOptions options_of(const Shape& x, const Shape& w, const Shape& y) {
  Conv2dOptions options{.stride = 1, .padding = w[1] / 2};
  while (options.output_shape(x, w) != y) {
    CHECK(options.stride < x[1], "x {}, w {}, y {}", x, w, y);
    ++options.stride;
  }
  return options;
}

}  // namespace

Training::Training(const ModelOptions& options, Tensor x, Tensor labels)
    : x_(std::move(x)),
      labels_(std::move(labels)),
      model_(make_model(options)),
      last_loss_(Tensor::zeros({}, DType::f32, x_.device())),
      last_correct_(Tensor::zeros({}, DType::f32, x_.device())) {
  move_to(*model_, x_.device());
  optimizer_ = std::make_unique<Optimizer>(
      model_->state().parameters,
      OptimizerOptions{
          .kind = OptimizerKind::sgd, .momentum = 0.9f, .dynamic_loss_scale = x_.dtype() == DType::f16});
  optimizer_->set_learning_rate(0.01f);
  for (const Parameter& parameter : optimizer_->parameters()) leaves_.push_back(*parameter.variable);
}

void Training::forward(const TapeObserver& observer) {
  tape_.emplace(observer);
  const Variable logits = model_->forward(x_, {.training = true});
  auto [loss, correct] = counted_softmax_cross_entropy(logits, labels_, {}, {});
  loss_ = std::move(loss);
  correct_ = std::move(correct);
}

void Training::backward() {
  gradients_ = tape_->backward(loss_, leaves_, optimizer_->loss_scale());
  tape_.reset();
}

void Training::update() {
  optimizer_->step(gradients_);
  last_loss_.copy_from(loss_.value());
  last_correct_.copy_from(correct_);
  gradients_.clear();
  loss_ = {};
  correct_ = {};
}

void Training::compute() {
  forward();
  backward();
  update();
}

void Training::step() {
  if (!has_run_) {
    compute();  // not captured: libraries choose and measure their algorithms on a first run
    has_run_ = true;
  } else if (!captured_) {
    Backend& device = backend(x_.device());
    device.pool().trim();  // the graph has activations of its own
    captured_ = device.capture([this] { compute(); });
  }
  if (captured_) captured_();
}

std::vector<Phase> Training::phases() {
  CHECK(has_run_);
  Backend& device = backend(x_.device());
  std::vector<Phase> phases;
  phases.push_back({"forward", device.capture([this] { forward(); })});
  phases.push_back({"backward", device.capture([this] { backward(); })});
  phases.push_back({"optimizer", device.capture([this] { update(); })});
  return phases;
}

void Training::infer() {
  const NoGrad no_grad;
  model_->forward(x_, {});
}

double Training::operations() {
  double total = 0.0;
  const auto count = [&](std::string_view op, const Tensor& y, std::span<const Variable> inputs) {
    if (op != "conv2d" && op != "linear") return;
    const Shape &x = inputs[0].shape(), &w = inputs[1].shape();
    const int64_t products =
        op == "conv2d" ? conv2d_products(x, w, options_of(x, w, y.shape())) : y.elements() * w[1];
    const int passes = 1 + (inputs[0].requires_grad() ? 1 : 0) + (inputs[1].requires_grad() ? 1 : 0);
    total += 2.0 * static_cast<double>(products * passes);
  };
  const Tape tape({.recorded = count, .differentiated = {}});
  model_->forward(x_, {.training = true});
  return total;
}

int64_t Training::parameters() const {
  int64_t count = 0;
  for (const Variable& leaf : leaves_) count += leaf.value().elements();
  return count;
}

std::vector<OpTime> Training::time_by_op() {
  using Clock = std::chrono::steady_clock;
  Backend& device = backend(x_.device());
  Clock::time_point last;
  const auto lap = [&] {
    device.synchronize();
    const auto now = Clock::now();
    return std::chrono::duration<double>(now - std::exchange(last, now)).count();
  };
  std::vector<OpTime> times;
  const auto recorded = [&](std::string_view op, const Tensor& y, std::span<const Variable> inputs) {
    OpTime time{.op = std::string(op), .forward = lap()};
    for (const Variable& input : inputs) {
      if (input.defined()) time.shapes.push_back(input.shape());
    }
    time.shapes.push_back(y.shape());
    times.push_back(std::move(time));
  };
  const auto differentiated = [&](size_t index) { times[index].backward = lap(); };
  device.synchronize();
  last = Clock::now();
  forward({recorded, differentiated});
  lap();
  backward();
  lap();
  update();
  times.push_back({.op = "optimizer", .forward = lap()});
  return times;
}

size_t Training::peak_bytes() {
  Backend& device = backend(x_.device());
  device.pool().reset_peak();
  compute();  // what is captured has a pool of its own
  device.synchronize();
  return device.pool().statistics().peak_bytes_in_use;
}

}  // namespace cytograd::bench
