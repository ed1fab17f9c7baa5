#include "engine/backend_cuda.h"
#include "kernels/elementwise.h"

namespace cytograd {
namespace {

Tensor converted(const Tensor& x, const float* factor, DType dtype, device::Stream stream) {
  Tensor y = Tensor::empty(x.shape(), dtype, Device::cuda);
  launch_cast({.a = x.raw(),
               .y = y.raw(),
               .count = x.elements(),
               .type = element_type(x.dtype()),
               .y_type = element_type(dtype)},
              factor, stream);
  return y;
}

}  // namespace

Tensor CudaBackend::cast(const Tensor& x, DType dtype) {
  const device::Range range("cast");
  return converted(x, nullptr, dtype, stream());
}

Tensor CudaBackend::scale(const Tensor& x, const Tensor& factor, DType dtype) {
  const device::Range range("scale");
  const Tensor by = factor.dtype() == DType::f32 ? factor : cast(factor, DType::f32);
  return converted(x, by.data<float>(), dtype, stream());
}

}  // namespace cytograd
