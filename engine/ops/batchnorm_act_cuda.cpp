#include "engine/backend_cuda.h"
#include "kernels/batchnorm_act.h"

namespace cytograd {
namespace {

int64_t channels_of(const Tensor& x) { return x.dim(x.rank() - 1); }
int64_t rows_of(const Tensor& x) { return x.elements() / channels_of(x); }

}  // namespace

Backend::BatchnormActForward CudaBackend::batchnorm_act_train(const BatchnormActArguments& arguments,
                                                              const BatchnormActOptions& options) {
  return batchnorm_act_train_by(launch_batchnorm_act_train, arguments, options);
}

Backend::BatchnormActForward CudaBackend::batchnorm_act_train_by(
    Launcher<BatchnormActTrainArguments> launcher, const BatchnormActArguments& arguments,
    const BatchnormActOptions& options) {
  const device::Range range("batchnorm_act");
  const Tensor& x = arguments.x;
  const int64_t rows = rows_of(x), channels = channels_of(x);
  Tensor running_mean = arguments.running_mean;
  Tensor running_var = arguments.running_var;
  Tensor batches = arguments.batches_tracked;
  Tensor workspace = empty({batchnorm_act_workspace(rows, channels)});
  BatchnormActForward result{.y = empty(x.shape(), x.dtype()),
                             .mean = empty({channels}),
                             .inv_std = empty({channels}),
                             .mask = Tensor()};
  if (options.relu) result.mask = empty({batchnorm_act_mask_bytes(rows, channels)}, DType::u8);
  launcher({.x = x.raw(),
            .residual = arguments.residual.raw(),
            .gamma = arguments.gamma.data<float>(),
            .beta = arguments.beta.data<float>(),
            .running_mean = running_mean.data<float>(),
            .running_var = running_var.data<float>(),
            .batches_tracked = batches.defined() ? batches.data<int64_t>() : nullptr,
            .mean = result.mean.data<float>(),
            .inv_std = result.inv_std.data<float>(),
            .y = result.y.raw(),
            .mask = static_cast<uint8_t*>(result.mask.raw()),
            .workspace = workspace.data<float>(),
            .rows = rows,
            .channels = channels,
            .epsilon = options.epsilon,
            .momentum = options.momentum,
            .type = element_type(x.dtype())},
           stream());
  return result;
}

Tensor CudaBackend::batchnorm_act_eval(const BatchnormActArguments& arguments,
                                       const BatchnormActOptions& options) {
  const device::Range range("batchnorm_act_eval");
  const Tensor& x = arguments.x;
  Tensor y = empty(x.shape(), x.dtype());
  launch_batchnorm_act_eval({.x = x.raw(),
                             .residual = arguments.residual.raw(),
                             .gamma = arguments.gamma.data<float>(),
                             .beta = arguments.beta.data<float>(),
                             .mean = arguments.running_mean.data<float>(),
                             .variance = arguments.running_var.data<float>(),
                             .y = y.raw(),
                             .rows = rows_of(x),
                             .channels = channels_of(x),
                             .epsilon = options.epsilon,
                             .relu = options.relu,
                             .type = element_type(x.dtype())},
                            stream());
  return y;
}

Backend::BatchnormActBackward CudaBackend::batchnorm_act_backward(const Tensor& dy, const Tensor& more,
                                                                  const BatchnormActSaved& saved) {
  const device::Range range("batchnorm_act_backward");
  const Tensor& x = saved.x;
  const int64_t rows = rows_of(x), channels = channels_of(x);
  Tensor workspace = empty({batchnorm_act_workspace(rows, channels)});
  BatchnormActBackward result{.dx = empty(x.shape(), x.dtype()),
                              .dgamma = empty({channels}),
                              .dbeta = empty({channels}),
                              .dresidual = Tensor()};
  if (saved.masks_residual()) result.dresidual = empty(x.shape(), x.dtype());
  launch_batchnorm_act_backward({.dy = dy.raw(),
                                 .more = more.raw(),
                                 .x = x.raw(),
                                 .mask = static_cast<const uint8_t*>(saved.mask.raw()),
                                 .gamma = saved.gamma.data<float>(),
                                 .mean = saved.mean.data<float>(),
                                 .inv_std = saved.inv_std.data<float>(),
                                 .dx = result.dx.raw(),
                                 .dresidual = result.dresidual.raw(),
                                 .dgamma = result.dgamma.data<float>(),
                                 .dbeta = result.dbeta.data<float>(),
                                 .workspace = workspace.data<float>(),
                                 .rows = rows,
                                 .channels = channels,
                                 .type = element_type(x.dtype())},
                                stream());
  if (saved.has_residual && !saved.masks_residual()) result.dresidual = dy;
  return result;
}

}  // namespace cytograd
