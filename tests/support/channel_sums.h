// What channel_sums must give, and images for it.
#pragma once

#include <vector>

#include "engine/tensor.h"
#include "tests/support/random_bytes.h"

namespace cytograd::test {

/// None, some, whole and broken vectors of pixels, a block and one more, and many blocks.
inline constexpr int64_t kPixelCounts[] = {0, 1, 2, 3, 15, 16, 17, 32, 1023, 1024, 1025, 2049, 100'003};

/// The sums of a CPU tensor [..., C], pixel by pixel.
inline std::vector<int64_t> plain_channel_sums(const Tensor& x) {
  const int64_t channels = x.dim(x.rank() - 1);
  std::vector<int64_t> sums(static_cast<size_t>((channels + 1) * channels));
  for (int64_t p = 0; p < x.elements(); p += channels) {
    const uint8_t* pixel = x.data<uint8_t>() + p;
    for (int64_t i = 0; i < channels; ++i) {
      sums[i] += pixel[i];
      for (int64_t j = 0; j < channels; ++j) sums[(1 + i) * channels + j] += int64_t{pixel[i]} * pixel[j];
    }
  }
  return sums;
}

}  // namespace cytograd::test
