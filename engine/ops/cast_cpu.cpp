// Between floating types, rounding to nearest even; scale also multiplies, in f32.
#include "engine/backend_cpu.h"
#include "engine/ops/elementwise_cpu.h"

namespace cytograd {
namespace {

/// f of x's elements, in `dtype`.
template <typename F>
Tensor converted(const Tensor& x, DType dtype, const F& f) {
  Tensor y = Tensor::empty(x.shape(), dtype);
  dispatch_float(x.dtype(), [&]<typename X>(TypeTag<X>) {
    dispatch_float(dtype,
                   [&]<typename Y>(TypeTag<Y>) { elementwise(x.elements(), f, y.data<Y>(), x.data<X>()); });
  });
  return y;
}

}  // namespace

Tensor CpuBackend::cast(const Tensor& x, DType dtype) {
  return converted(x, dtype, [](float v) { return v; });
}

Tensor CpuBackend::scale(const Tensor& x, const Tensor& factor, DType dtype) {
  const float by = dispatch_float(
      factor.dtype(), [&]<typename T>(TypeTag<T>) { return static_cast<float>(factor.data<T>()[0]); });
  return converted(x, dtype, [by](float v) { return v * by; });
}

}  // namespace cytograd
