#include "engine/backend_cuda.h"
#include "engine/emulated.h"

namespace cytograd {

using emulated::to_cpu;
using emulated::to_device;

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  return to_device(backend(Device::cpu).conv2d(to_cpu(x), to_cpu(w), options), x.dtype());
}

Tensor CudaBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                          const Conv2dOptions& options) {
  return to_device(backend(Device::cpu).conv2d_backward_input(to_cpu(dy), to_cpu(w), x_shape, options),
                   dy.dtype());
}

Tensor CudaBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                           const Conv2dOptions& options) {
  return to_device(backend(Device::cpu).conv2d_backward_weight(to_cpu(dy), to_cpu(x), to_cpu(w), options),
                   w.dtype());
}

}  // namespace cytograd
