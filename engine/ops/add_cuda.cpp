#include "engine/backend_cuda.h"
#include "kernels/elementwise.h"

namespace cytograd {

Tensor CudaBackend::add(const Tensor& a, const Tensor& b) {
  const device::Range range("add");
  Tensor y = empty(a.shape(), a.dtype());
  launch_add(
      {.a = a.raw(), .b = b.raw(), .y = y.raw(), .count = y.elements(), .type = element_type(a.dtype())},
      stream());
  return y;
}

}  // namespace cytograd
