// Blocks of pixels as pixels of more channels, and back.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct SpaceToDepthSizes {
  int64_t images = 0;
  int64_t height = 0;  ///< of an image
  int64_t width = 0;
  int64_t channels = 0;
  int64_t rows = 0;  ///< of blocks
  int64_t columns = 0;
  int64_t depth = 0;  ///< channels of a block, side^2 channels or more
  int64_t side = 1;   ///< pixels of a block
  int64_t top = 0;    ///< the first block's first row in the image, 0 or above it
  int64_t left = 0;
};

struct SpaceToDepthArguments {
  const void* pixels = nullptr;  ///< [images, height, width, channels]
  void* blocks = nullptr;        ///< [images, rows, columns, depth]
  SpaceToDepthSizes sizes = {};
  ElementType type = ElementType::f32;
};

/// blocks[n, r, q, (s side + t) channels + c] = pixels[n, top + r side + s, left + q side + t, c]; 0 where there is no
/// such pixel, and in the channels beyond.
void launch_space_to_depth(const SpaceToDepthArguments& arguments, device::Stream stream);

struct DepthToSpaceArguments {
  const void* blocks = nullptr;
  void* pixels = nullptr;
  SpaceToDepthSizes sizes = {};
  ElementType type = ElementType::f32;
};

/// The inverse; pixels that are in no block become 0.
void launch_depth_to_space(const DepthToSpaceArguments& arguments, device::Stream stream);

}  // namespace cytograd
