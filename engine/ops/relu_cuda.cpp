#include "engine/backend_cuda.h"
#include "kernels/elementwise.h"

namespace cytograd {

Tensor CudaBackend::relu(const Tensor& x) {
  const device::Range range("relu");
  Tensor y = empty(x.shape(), x.dtype());
  launch_relu({.a = x.raw(), .y = y.raw(), .count = y.elements(), .type = element_type(x.dtype())}, stream());
  return y;
}

Tensor CudaBackend::relu_backward(const Tensor& dy, const Tensor& y) {
  const device::Range range("relu_backward");
  Tensor dx = empty(dy.shape(), dy.dtype());
  launch_relu_backward(
      {.a = dy.raw(), .b = y.raw(), .y = dx.raw(), .count = dx.elements(), .type = element_type(dy.dtype())},
      stream());
  return dx;
}

}  // namespace cytograd
