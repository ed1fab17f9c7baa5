// Elementwise kernels: y is as long as the inputs, which may be y itself. Results are rounded to nearest even from f32.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct ElementwiseArguments {
  const void* a = nullptr;
  const void* b = nullptr;
  void* y = nullptr;
  int64_t count = 0;
  ElementType type = ElementType::f32;    ///< of a and b
  ElementType y_type = ElementType::f32;  ///< of y; add, relu and relu_backward: as `type`
};

void launch_add(const ElementwiseArguments& arguments, device::Stream stream);   ///< a + b
void launch_relu(const ElementwiseArguments& arguments, device::Stream stream);  ///< max(a, 0); NaN stays NaN
/// a where b > 0 or is NaN, else 0: a is the gradient of relu's result, b that result.
void launch_relu_backward(const ElementwiseArguments& arguments, device::Stream stream);
/// a in y's type; times the one element of `factor` (of type f32) unless that is null.
void launch_cast(const ElementwiseArguments& arguments, const float* factor, device::Stream stream);

/// Fills with an element's bits; `bytes` an element: 1, 2, 4 or 8.
struct FillArguments {
  void* y = nullptr;
  int64_t count = 0;
  uint64_t bits = 0;
  int bytes = 4;
};
void launch_fill(const FillArguments& arguments, device::Stream stream);

}  // namespace cytograd
