// Raw images to the network's input: fusion, shrink, crop, mirror, quarter turns, normalisation, brightness.
#pragma once

#include "kernels/element_type.h"
#include "kernels/image_statistics.h"

namespace cytograd {

struct PreprocessArguments {
  FusedImages images = {};
  const ChannelMoments* moments = nullptr;  ///< by launch_image_statistics; null: u8 / 255
  int32_t parts = 0;                        ///< statistics_parts
  int32_t moment_channels = 0;              ///< statistics_channels
  void* y = nullptr;                        ///< [count, rows, columns, fused]
  ElementType type = ElementType::f32;
};

void launch_preprocess(const PreprocessArguments& arguments, device::Stream stream);

}  // namespace cytograd
