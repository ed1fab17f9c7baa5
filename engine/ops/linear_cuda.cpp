#include "engine/backend_cuda.h"
#include "kernels/bias.h"
#include "kernels/column_sum.h"

namespace cytograd {

Tensor CudaBackend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  const device::Range range("linear");
  Tensor product = linear_product(x, w);  // f32, so that the sum with the bias is rounded once
  Tensor y = x.dtype() == DType::f32 ? product : empty(product.shape(), x.dtype());
  launch_bias({.x = product.data<float>(),
               .bias = b.data<float>(),
               .y = y.raw(),
               .rows = y.dim(0),
               .columns = y.dim(1),
               .type = element_type(y.dtype())},
              stream());
  return y;
}

Tensor CudaBackend::linear_backward_bias(const Tensor& dy) {
  const device::Range range("linear_backward_bias");
  Tensor db = empty({dy.dim(1)});
  Tensor workspace = empty({column_sum_workspace(dy.dim(0), dy.dim(1))});
  launch_column_sum({.x = dy.raw(),
                     .sums = db.data<float>(),
                     .workspace = workspace.data<float>(),
                     .rows = dy.dim(0),
                     .columns = dy.dim(1),
                     .type = element_type(dy.dtype())},
                    stream());
  return db;
}

}  // namespace cytograd
