// How bright 16-bit images are: what --white wants to be.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace cytograd {

struct Brightness {
  int64_t looked_at = 0;   ///< images that could be read
  int64_t of_16_bits = 0;  ///< among them
  int32_t brightest = 0;   ///< value of those, as it is stored

  /// 1023, 4095, ...: the level of the fewest bits that is as bright.
  int32_t white() const;
};

/// Of up to `most` images, spread evenly over the dataset. Those that cannot be read are passed over; those of a pack
/// are of 8 bits.
Brightness look_at_brightness(const Dataset& dataset, int64_t most = 16);

}  // namespace cytograd
