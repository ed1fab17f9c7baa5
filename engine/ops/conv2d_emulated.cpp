#include "engine/backend_cuda.h"
#include "engine/emulated.h"

namespace cytograd {

using emulated::Operand;
using emulated::queued;

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  return queued(stream(), options.output_shape(x.shape(), w.shape()), x.dtype(),
                [x = Operand(x), w = Operand(w), options] {
                  return backend(Device::cpu).conv2d(x.read(), w.read(), options);
                });
}

Tensor CudaBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                          const Conv2dOptions& options) {
  return queued(stream(), x_shape, dy.dtype(), [dy = Operand(dy), w = Operand(w), x_shape, options] {
    return backend(Device::cpu).conv2d_backward_input(dy.read(), w.read(), x_shape, options);
  });
}

Tensor CudaBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                           const Conv2dOptions& options) {
  return queued(stream(), w.shape(), w.dtype(), [dy = Operand(dy), x = Operand(x), w = Operand(w), options] {
    return backend(Device::cpu).conv2d_backward_weight(dy.read(), x.read(), w.read(), options);
  });
}

}  // namespace cytograd
