// NaN goes through, forward and backward, as in PyTorch.
#include "engine/backend_cpu.h"
#include "engine/ops/elementwise_cpu.h"

namespace cytograd {

Tensor CpuBackend::relu(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) {
    elementwise(
        y.elements(), [](float v) { return v <= 0.0f ? 0.0f : v; }, y.data<T>(), x.data<T>());
  });
  return y;
}

Tensor CpuBackend::relu_backward(const Tensor& dy, const Tensor& y) {
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype());
  dispatch_float(dy.dtype(), [&]<typename T>(TypeTag<T>) {
    elementwise(
        dx.elements(), [](float g, float v) { return v <= 0.0f ? 0.0f : g; }, dx.data<T>(), dy.data<T>(),
        y.data<T>());
  });
  return dx;
}

}  // namespace cytograd
