#include "engine/backend_cuda.h"
#include "engine/cublaslt.h"
#include "engine/cuda_libraries.h"
#include "kernels/bias.h"

namespace cytograd {

Tensor CudaBackend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  const device::Range range("linear");
  const Tensor weight = w.dtype() == x.dtype() ? w : cast(w, x.dtype());
  Tensor product = empty({x.dim(0), w.dim(0)});  // f32, so that the sum with the bias is rounded once
  libraries_->products().multiply({.a = x, .b = weight, .c = product, .transpose_b = true});
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

Tensor CudaBackend::linear_backward_input(const Tensor& dy, const Tensor& w) {
  const device::Range range("linear_backward_input");
  const Tensor weight = w.dtype() == dy.dtype() ? w : cast(w, dy.dtype());
  Tensor dx = empty({dy.dim(0), w.dim(1)}, dy.dtype());
  libraries_->products().multiply({.a = dy, .b = weight, .c = dx});
  return dx;
}

Tensor CudaBackend::linear_backward_weight(const Tensor& dy, const Tensor& x) {
  const device::Range range("linear_backward_weight");
  Tensor dw = empty({dy.dim(1), x.dim(1)});
  libraries_->products().multiply({.a = dy, .b = x, .c = dw, .transpose_a = true});
  return dw;
}

}  // namespace cytograd
