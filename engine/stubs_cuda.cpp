#include "engine/backend_cuda.h"

// NOLINTBEGIN
namespace cytograd {
Backend::BatchnormActForward CudaBackend::batchnorm_act_train(const BatchnormActArguments&,
                                                              const BatchnormActOptions&) {
  fail("batchnorm_act_train is not written for CUDA");
}
Tensor CudaBackend::batchnorm_act_eval(const BatchnormActArguments&, const BatchnormActOptions&) {
  fail("batchnorm_act_eval is not written for CUDA");
}
Backend::BatchnormActBackward CudaBackend::batchnorm_act_backward(const Tensor&, const BatchnormActSaved&) {
  fail("batchnorm_act_backward is not written for CUDA");
}
Backend::MaxPool2dForward CudaBackend::max_pool2d(const Tensor&, const MaxPool2dOptions&) {
  fail("max_pool2d is not written for CUDA");
}
Tensor CudaBackend::max_pool2d_backward(const Tensor&, const Tensor&, const Shape&, const MaxPool2dOptions&) {
  fail("max_pool2d_backward is not written for CUDA");
}
Tensor CudaBackend::global_avg_pool(const Tensor&) { fail("global_avg_pool is not written for CUDA"); }
Tensor CudaBackend::global_avg_pool_backward(const Tensor&, const Shape&) {
  fail("global_avg_pool_backward is not written for CUDA");
}
Tensor CudaBackend::linear_backward_bias(const Tensor&) {
  fail("linear_backward_bias is not written for CUDA");
}
Tensor CudaBackend::preprocess(const Tensor&, std::span<const View>, const PreprocessOptions&) {
  fail("preprocess is not written for CUDA");
}
void CudaBackend::sgd_step(std::span<const OptimizerTerm>, const Tensor&, const SgdOptions&) {
  fail("sgd_step is not written for CUDA");
}
void CudaBackend::adamw_step(std::span<const OptimizerTerm>, const Tensor&, const AdamwOptions&) {
  fail("adamw_step is not written for CUDA");
}
void CudaBackend::ema_step(std::span<const EmaTerm>, float) { fail("ema_step is not written for CUDA"); }
Tensor CudaBackend::clip_norm(std::span<const Tensor>, float) { fail("clip_norm is not written for CUDA"); }
}  // namespace cytograd
// NOLINTEND
