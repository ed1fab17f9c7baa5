#include "engine/backend_cuda.h"
#include "kernels/softmax_cross_entropy.h"

namespace cytograd {

Backend::SoftmaxCrossEntropyForward CudaBackend::softmax_cross_entropy(
    const Tensor& logits, const Tensor& labels, const Tensor& class_weights,
    const SoftmaxCrossEntropyOptions& options) {
  const device::Range range("softmax_cross_entropy");
  SoftmaxCrossEntropyForward result{empty({}), empty(logits.shape()), empty({})};
  Tensor row_results = empty({2, logits.dim(0)});
  launch_softmax_cross_entropy(
      {.logits = logits.raw(),
       .type = element_type(logits.dtype()),
       .labels = labels.data<int64_t>(),
       .class_weights = class_weights.defined() ? class_weights.data<float>() : nullptr,
       .loss = result.loss.data<float>(),
       .correct = result.correct.data<float>(),
       .dlogits = result.dlogits.data<float>(),
       .row_results = row_results.data<float>(),
       .rows = logits.dim(0),
       .classes = logits.dim(1),
       .label_smoothing = options.label_smoothing},
      stream());
  return result;
}

Tensor CudaBackend::softmax(const Tensor& logits) {
  const device::Range range("softmax");
  Tensor probabilities = empty(logits.shape());
  launch_softmax({.logits = logits.raw(),
                  .type = element_type(logits.dtype()),
                  .probabilities = probabilities.data<float>(),
                  .rows = logits.dim(0),
                  .classes = logits.dim(1)},
                 stream());
  return probabilities;
}

}  // namespace cytograd
