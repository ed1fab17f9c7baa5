#include "engine/backend_cuda.h"
#include "engine/emulated.h"

namespace cytograd {

using emulated::Operand;
using emulated::queued;

Tensor CudaBackend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  return queued({x.dim(0), w.dim(0)}, x.dtype(), [x = Operand(x), w = Operand(w), b = Operand(b)] {
    return backend(Device::cpu).linear(x.read(), w.read(), b.read());
  });
}

Tensor CudaBackend::linear_backward_input(const Tensor& dy, const Tensor& w) {
  return queued({dy.dim(0), w.dim(1)}, dy.dtype(), [dy = Operand(dy), w = Operand(w)] {
    return backend(Device::cpu).linear_backward_input(dy.read(), w.read());
  });
}

Tensor CudaBackend::linear_backward_weight(const Tensor& dy, const Tensor& x) {
  return queued({dy.dim(1), x.dim(1)}, DType::f32, [dy = Operand(dy), x = Operand(x)] {
    return backend(Device::cpu).linear_backward_weight(dy.read(), x.read());
  });
}

}  // namespace cytograd
