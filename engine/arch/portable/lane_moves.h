// Lanes of other widths, in plain loops; avx2/lane_moves.h has what they are.
#pragma once

#include <bit>

#include "engine/arch/lanes.h"
#include "kernels/half.h"

namespace cytograd {

inline IntLanes load_wide(const uint8_t* p) {
  IntLanes lanes;
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p[i];
  return lanes;
}
inline WordLanes load_wide(const uint16_t* p) {
  WordLanes lanes;
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p[i];
  return lanes;
}

inline void store_narrow(uint16_t* p, const WordLanes& words) {
  for (int64_t i = 0; i < kLanes; ++i) p[i] = static_cast<uint16_t>(words[i]);
}

inline Lanes load_half(const uint16_t* p) {
  Lanes lanes;
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = static_cast<float>(std::bit_cast<f16>(p[i]));
  return lanes;
}
inline void store_half(uint16_t* p, const Lanes& lanes) {
  for (int64_t i = 0; i < kLanes; ++i) p[i] = f16(lanes[i]).bits;
}

inline LongLanes even_products(const WordLanes& a, const WordLanes& b) {
  LongLanes products;
  for (int64_t i = 0; i < kLanes / 2; ++i) products[i] = uint64_t{a[2 * i]} * b[2 * i];
  return products;
}

}  // namespace cytograd
