// Largest value of each window of an image, padding left out, and where it is: the first of equals, a NaN over all
// before it. Images are [images, rows, columns, channels].
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

/// Square windows of at most 15, whose corners are `stride` apart, the first at -padding; each reaches into the image.
struct MaxPool2dSizes {
  int64_t images = 0;
  int64_t height = 0;  ///< of x
  int64_t width = 0;
  int64_t rows = 0;  ///< of y
  int64_t columns = 0;
  int64_t channels = 0;
  int window = 0;
  int stride = 0;
  int padding = 0;
  ElementType type = ElementType::f32;
};

struct MaxPool2dArguments {
  const void* x = nullptr;
  void* y = nullptr;         ///< written
  uint8_t* index = nullptr;  ///< written, of y's shape: row * window + column within the window
  MaxPool2dSizes sizes;
};
void launch_max_pool2d(const MaxPool2dArguments& arguments, device::Stream stream);

struct MaxPool2dBackwardArguments {
  const void* dy = nullptr;
  const uint8_t* index = nullptr;
  void* dx = nullptr;  ///< written, of x's shape
  MaxPool2dSizes sizes;
};
void launch_max_pool2d_backward(const MaxPool2dBackwardArguments& arguments, device::Stream stream);

}  // namespace cytograd
