#include "engine/backend_cuda.h"
#include "engine/emulated.h"

namespace cytograd {

using emulated::to_cpu;
using emulated::to_device;

Tensor CudaBackend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  return to_device(backend(Device::cpu).linear(to_cpu(x), to_cpu(w), to_cpu(b)), x.dtype());
}

Tensor CudaBackend::linear_backward_input(const Tensor& dy, const Tensor& w) {
  return to_device(backend(Device::cpu).linear_backward_input(to_cpu(dy), to_cpu(w)), dy.dtype());
}

Tensor CudaBackend::linear_backward_weight(const Tensor& dy, const Tensor& x) {
  return to_device(backend(Device::cpu).linear_backward_weight(to_cpu(dy), to_cpu(x)), DType::f32);
}

}  // namespace cytograd
