#include "tools/train_step.h"

#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

TrainStep::TrainStep(Model& model, Optimizer& optimizer, EmaWeights* ema, const Options& options)
    : model_(model),
      optimizer_(optimizer),
      ema_(ema),
      options_(options),
      loss_(Tensor::zeros({}, DType::f32, options.device)),
      correct_(Tensor::zeros({}, DType::f32, options.device)) {
  for (const Parameter& parameter : optimizer.parameters()) leaves_.push_back(*parameter.variable);
}

std::function<TrainStep::Result()> TrainStep::run(const Batch& batch, float learning_rate) {
  Backend& device = backend(options_.device);
  optimizer_.set_learning_rate(learning_rate);
  if (ema_ != nullptr) ema_->begin_update();
  const Tensor images = device.upload(batch.images);
  if (options_.device == Device::cuda && batch.images.dim(0) == options_.batch) {
    run_full(images, batch);
  } else {
    device.run_aside([&] {
      compute(preprocess(images, batch.views, options_.preprocess), batch.labels.to(options_.device));
    });
  }
  const std::vector<Tensor> results{loss_, correct_, optimizer_.norm(), optimizer_.loss_scale()};
  return [read = device.read_later(results)] {
    const std::vector<float> values = read();
    return Result{values[0], values[1], values[2], values[3]};
  };
}

void TrainStep::run_full(const Tensor& images, const Batch& batch) {
  if (!x_.defined()) {
    // Not captured: libraries choose and measure their algorithms on a first run.
    x_ = preprocess(images, batch.views, options_.preprocess);
    labels_ = batch.labels.to(options_.device);
    return compute(x_, labels_);
  }
  preprocess_into(x_, images, batch.views, options_.preprocess);
  labels_.copy_from(batch.labels);
  if (!graph_) {
    Backend& device = backend(options_.device);
    device.pool().trim();  // the graph has activations of its own
    graph_ = device.capture([this] { compute(x_, labels_); });
  }
  graph_();
}

void TrainStep::compute(const Tensor& x, const Tensor& labels) {
  Tape tape;
  const Variable logits =
      model_.forward(x, {.training = true, .seed = options_.seed, .step = optimizer_.attempts()});
  const auto [loss, correct] = counted_softmax_cross_entropy(logits, labels, options_.class_weights,
                                                             {.label_smoothing = options_.label_smoothing});
  optimizer_.step(tape.backward(loss, leaves_, optimizer_.loss_scale()), options_.clip_norm);
  if (ema_ != nullptr) ema_->update();
  loss_.copy_from(loss.value());
  correct_.copy_from(correct);
}

}  // namespace cytograd
