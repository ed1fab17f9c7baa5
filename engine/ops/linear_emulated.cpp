#include "engine/backend_cuda.h"
#include "engine/emulated.h"

namespace cytograd {

using emulated::Operand;
using emulated::queued;

Tensor CudaBackend::linear_product(const Tensor& x, const Tensor& w) {
  return queued(
      stream(), {x.dim(0), w.dim(0)}, DType::f32, [x = Operand(x), w = Operand(w), type = x.dtype()] {
        Backend& cpu = backend(Device::cpu);
        const auto widen = [&](const Tensor& t) {
          return t.dtype() == DType::f32 ? t : cpu.cast(t, DType::f32);
        };
        // The library reads weights of x's type.
        const Tensor weight = type == DType::f32 ? w.read() : widen(cpu.cast(widen(w.read()), type));
        return cpu.linear(widen(x.read()), weight, Tensor::zeros({weight.dim(0)}));
      });
}

Tensor CudaBackend::linear_backward_input(const Tensor& dy, const Tensor& w) {
  return queued(stream(), {dy.dim(0), w.dim(1)}, dy.dtype(), [dy = Operand(dy), w = Operand(w)] {
    return backend(Device::cpu).linear_backward_input(dy.read(), w.read());
  });
}

Tensor CudaBackend::linear_backward_weight(const Tensor& dy, const Tensor& x) {
  return queued(stream(), {dy.dim(1), x.dim(1)}, DType::f32, [dy = Operand(dy), x = Operand(x)] {
    return backend(Device::cpu).linear_backward_weight(dy.read(), x.read());
  });
}

}  // namespace cytograd
