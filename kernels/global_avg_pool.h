// Means over an image's pixels, and their gradient.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

/// x and dx are [images, pixels, channels] of `type`, y and dy [images, channels].
struct GlobalAvgPoolArguments {
  const void* from = nullptr;  ///< x, or dy
  void* to = nullptr;          ///< y, or dx
  int64_t images = 0;
  int64_t pixels = 0;
  int64_t channels = 0;
  ElementType type = ElementType::f32;
};
void launch_global_avg_pool(const GlobalAvgPoolArguments& arguments, device::Stream stream);
void launch_global_avg_pool_backward(const GlobalAvgPoolArguments& arguments, device::Stream stream);

}  // namespace cytograd
