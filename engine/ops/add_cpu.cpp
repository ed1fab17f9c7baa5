#include "engine/backend_cpu.h"
#include "engine/ops/elementwise_cpu.h"

namespace cytograd {

Tensor CpuBackend::add(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.shape(), a.dtype());
  dispatch_float(a.dtype(), [&]<typename T>(TypeTag<T>) {
    elementwise(
        y.elements(), [](float p, float q) { return p + q; }, y.data<T>(), a.data<T>(), b.data<T>());
  });
  return y;
}

}  // namespace cytograd
