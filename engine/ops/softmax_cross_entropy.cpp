#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

LossAndCorrect counted_softmax_cross_entropy(const Variable& logits, const Tensor& labels,
                                             const Tensor& class_weights,
                                             const SoftmaxCrossEntropyOptions& options) {
  Backend& device = backend_of({&logits.value(), &labels});
  const Shape& shape = logits.shape();
  CHECK(shape.rank() == 2 && shape[0] > 0 && shape[1] > 0, "logits {}", shape);
  CHECK(labels.shape() == Shape{shape[0]} && labels.dtype() == DType::i64, "logits {}, labels {} {}", shape,
        dtype_name(labels.dtype()), labels.shape());
  CHECK(!class_weights.defined() ||
            (class_weights.shape() == Shape{shape[1]} && class_weights.device() == device.device()),
        "logits {} on {}, class weights {} on {}", shape, device_name(device.device()), class_weights.shape(),
        device_name(class_weights.device()));
  CHECK(options.label_smoothing >= 0.0f && options.label_smoothing <= 1.0f, "label smoothing {}",
        options.label_smoothing);
  auto forward = device.softmax_cross_entropy(logits.value(), labels, class_weights, options);
  Variable loss = record("softmax_cross_entropy", std::move(forward.loss), {logits},
                         [&device, dlogits = forward.dlogits, dtype = logits.value().dtype()](
                             const Tensor& dy, std::span<const bool>) {
                           return std::vector<Tensor>{device.scale(dlogits, dy, dtype)};
                         });
  return {std::move(loss), std::move(forward.correct)};
}

Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels, const Tensor& class_weights,
                               const SoftmaxCrossEntropyOptions& options) {
  return counted_softmax_cross_entropy(logits, labels, class_weights, options).loss;
}

Tensor softmax(const Tensor& logits) {
  Backend& device = backend_of({&logits});
  CHECK(logits.rank() == 2 && logits.dim(1) > 0, "logits {}", logits.shape());
  return device.softmax(logits);
}

}  // namespace cytograd
