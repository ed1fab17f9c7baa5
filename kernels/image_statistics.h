// Sums by image and channel, from which preprocess normalises.
#pragma once

#include "kernels/fusion.h"
#include "kernels/runtime.h"

namespace cytograd {

/// Over some of a crop's pixels; a box of K x K pixels counts by its sum, not its mean, unless fusion is linear.
struct alignas(16) ChannelMoments {
  double sum;
  double square;
};

/// In how many parts the moments of each image come: at most 32.
int32_t statistics_parts(const FusedImages& images);
/// Of how many channels: of the fused, and where six channels of an even address, with shrink 1 or 2, are fused into up
/// to three by a linear fusion, of those six after them.
int32_t statistics_channels(const FusedImages& images);

/// Fills moments [count, parts, channels]. Exact up to 2^53, but for a linear fusion's: of the six channels above they
/// are f64 combinations of exact sums, else f64 sums of f32 values in a fixed order. The sum of an image's squares must
/// be below 2^64.
void launch_image_statistics(const FusedImages& images, int32_t parts, ChannelMoments* moments,
                             device::Stream stream);

}  // namespace cytograd
