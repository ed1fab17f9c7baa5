// Adds a bias to each row of a matrix.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct BiasArguments {
  const float* x = nullptr;     ///< [rows, columns]
  const float* bias = nullptr;  ///< [columns]
  void* y = nullptr;            ///< [rows, columns]; may be x
  int64_t rows = 0;
  int64_t columns = 0;
  ElementType type = ElementType::f32;  ///< of y
};
void launch_bias(const BiasArguments& arguments, device::Stream stream);

}  // namespace cytograd
