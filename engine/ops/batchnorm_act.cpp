#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {
namespace {

Backend::BatchnormActArguments checked(const Tensor& x, const BatchnormParameters& parameters,
                                       const Tensor& residual) {
  (void)backend_of({&x, &parameters.gamma.value(), &parameters.beta.value(), &parameters.running_mean,
                    &parameters.running_var});
  CHECK(x.rank() >= 2 && x.dim(x.rank() - 1) > 0, "x {}", x.shape());
  const Shape channels{x.dim(x.rank() - 1)};
  CHECK(parameters.gamma.shape() == channels && parameters.beta.shape() == channels &&
            parameters.running_mean.shape() == channels && parameters.running_var.shape() == channels,
        "x {}, gamma {}, beta {}, running statistics {} {}", x.shape(), parameters.gamma.shape(),
        parameters.beta.shape(), parameters.running_mean.shape(), parameters.running_var.shape());
  const Tensor& batches = parameters.batches_tracked;
  CHECK(!batches.defined() ||
            (batches.elements() == 1 && batches.dtype() == DType::i64 && batches.device() == x.device()),
        "x {} on {}, batches tracked {} {} on {}", x.shape(), device_name(x.device()),
        dtype_name(batches.dtype()), batches.shape(), device_name(batches.device()));
  CHECK(!residual.defined() || (residual.shape() == x.shape() && residual.dtype() == x.dtype() &&
                                residual.device() == x.device()),
        "x {} on {}, residual {} on {}", x.shape(), device_name(x.device()), residual.shape(),
        device_name(residual.device()));
  return {x,
          parameters.gamma.value(),
          parameters.beta.value(),
          parameters.running_mean,
          parameters.running_var,
          residual,
          parameters.batches_tracked};
}

}  // namespace

Variable batchnorm_act(const Variable& x, const BatchnormParameters& parameters, const Variable& residual,
                       const BatchnormActOptions& options) {
  const auto arguments = checked(x.value(), parameters, residual.value());
  const int64_t channels = arguments.gamma.elements();
  CHECK(x.value().elements() > channels, "x {} has a single value a channel", x.shape());
  Backend& device = backend(x.value().device());
  auto forward = device.batchnorm_act_train(arguments, options);
  const Backend::BatchnormActSaved saved{arguments.x,     arguments.gamma, forward.mean,
                                         forward.inv_std, forward.mask,    residual.defined()};
  return record(
      "batchnorm_act", std::move(forward.y), {x, parameters.gamma, parameters.beta, residual},
      [&device, saved](const Tensor& dy, const Tensor& more, std::span<const bool>) {
        const bool adds = more.defined() && !saved.masks_residual();
        auto gradients =
            device.batchnorm_act_backward(adds ? device.add(dy, more) : dy, adds ? Tensor() : more, saved);
        return std::vector<Tensor>{gradients.dx, gradients.dgamma, gradients.dbeta, gradients.dresidual};
      });
}

Tensor batchnorm_act_eval(const Tensor& x, const BatchnormParameters& parameters, const Tensor& residual,
                          const BatchnormActOptions& options) {
  return backend(x.device()).batchnorm_act_eval(checked(x, parameters, residual), options);
}

}  // namespace cytograd
