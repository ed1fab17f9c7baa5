#include "engine/backend_cuda.h"
#include "kernels/global_avg_pool.h"

namespace cytograd {

Tensor CudaBackend::global_avg_pool(const Tensor& x) {
  const device::Range range("global_avg_pool");
  Tensor y = empty({x.dim(0), x.dim(3)}, x.dtype());
  launch_global_avg_pool({.from = x.raw(),
                          .to = y.raw(),
                          .images = x.dim(0),
                          .pixels = x.dim(1) * x.dim(2),
                          .channels = x.dim(3),
                          .type = element_type(x.dtype())},
                         stream());
  return y;
}

Tensor CudaBackend::global_avg_pool_backward(const Tensor& dy, const Shape& x_shape) {
  const device::Range range("global_avg_pool_backward");
  Tensor dx = empty(x_shape, dy.dtype());
  launch_global_avg_pool_backward({.from = dy.raw(),
                                   .to = dx.raw(),
                                   .images = x_shape[0],
                                   .pixels = x_shape[1] * x_shape[2],
                                   .channels = x_shape[3],
                                   .type = element_type(dy.dtype())},
                                  stream());
  return dx;
}

}  // namespace cytograd
