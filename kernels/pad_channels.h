// Copies a matrix to one with more columns, or with fewer.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct PadChannelsArguments {
  const void* x = nullptr;  ///< [rows, x_channels]
  void* y = nullptr;        ///< [rows, y_channels]
  int64_t rows = 0;
  int64_t x_channels = 0;
  int64_t y_channels = 0;
  ElementType type = ElementType::f32;  ///< of x and y
};

/// y[r, c] = x[r, c] where x has a channel c, else 0.
void launch_pad_channels(const PadChannelsArguments& arguments, device::Stream stream);

}  // namespace cytograd
