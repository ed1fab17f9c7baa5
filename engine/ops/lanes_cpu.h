// Eight elements of any floating type as lanes of f32, and one element as a single one, so that a loop's body written
// for V = Lanes serves its tail with V = float.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/dtype.h"
#include "lane_moves.h"

namespace cytograd {

inline Lanes load(const bf16* p) {
  return reinterpret_cast<Lanes>(load_wide(reinterpret_cast<const uint16_t*>(p)) << 16);
}
inline Lanes load(const f16* p) { return load_half(reinterpret_cast<const uint16_t*>(p)); }

// Both round as the types' constructors do; a NaN stays one.
inline void store(bf16* p, const Lanes& lanes) {
  const auto u = reinterpret_cast<WordLanes>(lanes);
  const WordLanes rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  store_narrow(reinterpret_cast<uint16_t*>(p), lanes != lanes ? (u >> 16) | 0x40 : rounded);
}
inline void store(f16* p, const Lanes& lanes) { store_half(reinterpret_cast<uint16_t*>(p), lanes); }

/// What a loop's body computes with: V is Lanes or float.
template <typename V>
struct LaneTraits;
template <>
struct LaneTraits<Lanes> {
  static constexpr int64_t kCount = kLanes;
  using Int = IntLanes;
  template <typename T>
  static Lanes load(const T* p) {
    return cytograd::load(p);
  }
  static IntLanes load_int(const uint8_t* p) { return load_wide(p); }
  template <typename T>
  static void store(T* p, const Lanes& v) {
    cytograd::store(p, v);
  }
};
template <>
struct LaneTraits<float> {
  static constexpr int64_t kCount = 1;
  using Int = int32_t;
  template <typename T>
  static float load(const T* p) {
    return static_cast<float>(*p);
  }
  static int32_t load_int(const uint8_t* p) { return *p; }
  template <typename T>
  static void store(T* p, float v) {
    store_rounded(*p, v);
  }
};

/// body(std::type_identity<V>, std::integral_constant<int, n>, i) for the n V from element i on: four Lanes while so
/// many are left of `count`, then one; the last eight may overlap those before, so that a body only writes what it
/// computes. Fewer than eight are single floats.
template <typename Body>
void in_lanes(int64_t count, const Body& body) {
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, 4> four;
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) body(std::type_identity<Lanes>{}, four, i);
  for (; i + kLanes <= count; i += kLanes) body(std::type_identity<Lanes>{}, one, i);
  if (i < count && count >= kLanes) {
    body(std::type_identity<Lanes>{}, one, count - kLanes);
  } else {
    for (; i < count; ++i) body(std::type_identity<float>{}, one, i);
  }
}

}  // namespace cytograd
