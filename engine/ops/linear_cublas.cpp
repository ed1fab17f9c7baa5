#include "engine/backend_cuda.h"
#include "engine/cublaslt.h"
#include "engine/cuda_libraries.h"

namespace cytograd {

Tensor CudaBackend::linear_product(const Tensor& x, const Tensor& w) {
  const Tensor weight = w.dtype() == x.dtype() ? w : cast(w, x.dtype());
  Tensor product = empty({x.dim(0), w.dim(0)});
  libraries_->products().multiply({.a = x, .b = weight, .c = product, .transpose_b = true});
  return product;
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
