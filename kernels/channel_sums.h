// Exact sums of channels and of their products, for their covariance: by one kernel, or in the two steps around a
// matrix product of bytes.
#pragma once

#include <cstdint>

#include "kernels/runtime.h"

namespace cytograd {

constexpr int64_t kMaxSummedChannels = 8;

struct ChannelSumsArguments {
  const uint8_t* x = nullptr;  ///< [pixels, channels], at any address
  int64_t* sums = nullptr;     ///< [channels + 1, channels]
  int64_t pixels = 0;
  int64_t channels = 0;  ///< from 1 to 8
};

/// sums[0, j] += x[p, j] and sums[1 + i, j] += x[p, i] x[p, j] over all p.
void launch_channel_sums(const ChannelSumsArguments& arguments, device::Stream stream);

// For c[b] = planes[b] planes[b]^T, a matrix product of signed bytes in 32 bits that is exact.
constexpr int64_t kPlaneRows = 16;           ///< of each chunk's matrix, and of its product
constexpr int64_t kMaxPlanePixels = 65'536;  ///< of a chunk: (-128)^2 times as many fit 31 bits

/// Pixels of a chunk, a multiple of 16, where there are `pixels` in all.
int64_t plane_pixels(int64_t pixels);

struct ChannelPlanesArguments {
  const uint8_t* x = nullptr;  ///< [pixels, channels], at any address
  int8_t* planes = nullptr;    ///< [chunks, kPlaneRows, plane_pixels(pixels)], aligned to 16 bytes
  int64_t pixels = 0;
  int64_t channels = 0;
};
/// A chunk's rows: the channels less 128, ones, zeros; columns past the last pixel are zero.
void launch_channel_planes(const ChannelPlanesArguments& arguments, device::Stream stream);

struct ChannelGramsArguments {
  const int32_t* grams = nullptr;  ///< [chunks, kPlaneRows, kPlaneRows], the products of the planes
  int64_t* sums = nullptr;         ///< as in ChannelSumsArguments
  int64_t chunks = 0;
  int64_t channels = 0;
};
/// sums += what the products say of x, the 128 put back.
void launch_add_channel_grams(const ChannelGramsArguments& arguments, device::Stream stream);

}  // namespace cytograd
