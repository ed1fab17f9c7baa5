// Vectors of eight numbers of 32 bits, whose arithmetic and comparisons compilers turn into vector instructions
// wherever the processor has them. avx2/ and portable/lane_moves.h have what GCC 12 makes slow code of.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace cytograd {

constexpr int64_t kLanes = 8;
using Lanes = float __attribute__((vector_size(kLanes * 4)));
using IntLanes = int32_t __attribute__((vector_size(kLanes * 4)));  // also what a comparison gives: 0 or -1
using WordLanes = uint32_t __attribute__((vector_size(kLanes * 4)));
using LongLanes = uint64_t __attribute__((vector_size(kLanes * 4)));  // half as many

inline Lanes load(const float* p) {
  Lanes lanes;
  std::memcpy(&lanes, p, sizeof(lanes));
  return lanes;
}
inline void store(float* p, const Lanes& lanes) { std::memcpy(p, &lanes, sizeof(lanes)); }

/// f(std::integral_constant<int, 0>{}) and so on to kCount - 1, written out, so that what f indexes can live in
/// registers.
template <int kCount, typename F>
void unrolled(const F& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) { (f(std::integral_constant<int, i>{}), ...); }
  (std::make_integer_sequence<int, kCount>{});
}

}  // namespace cytograd
