// A u8 tensor of random bytes, on the CPU.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/philox.h"
#include "engine/tensor.h"

namespace cytograd::test {

/// Each less than `below`.
inline Tensor random_bytes(const Shape& shape, uint64_t seed, uint64_t below = 256) {
  Philox random(seed);
  std::vector<uint8_t> values(static_cast<size_t>(shape.elements()));
  for (uint8_t& v : values) v = static_cast<uint8_t>(random.below(below));
  return Tensor::from(values, shape);
}

}  // namespace cytograd::test
