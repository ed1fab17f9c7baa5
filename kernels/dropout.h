// Dropout, which is its own gradient.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct DropoutArguments {
  const void* x = nullptr;
  void* y = nullptr;
  int64_t count = 0;
  ElementType type = ElementType::f32;
  float probability = 0.0f;  ///< below 1
  uint64_t seed = 0;
  uint64_t offset = 0;
  const int64_t* step = nullptr;  ///< one element, added to the offset; null: 0
};

/// y = x / (1 - p) where u >= p, else 0. Element i takes word i % 4 of Philox block i / 4, as on the CPU: see
/// engine/ops/dropout_cpu.cpp.
void launch_dropout(const DropoutArguments& arguments, device::Stream stream);

}  // namespace cytograd
