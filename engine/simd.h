// What inner loops over CPU tensors need to vectorise: conversions without branches, and bits from lanes.
#pragma once

#include <bit>
#include <cstdint>

#include "engine/dtype.h"

namespace cytograd {

/// As the conversions of dtype.h, bit for bit; f16 here is inline and free of branches.
inline float to_float(float value) { return value; }
inline float to_float(bf16 value) { return static_cast<float>(value); }
inline float to_float(f16 value) {
  const uint32_t magnitude = (uint32_t{value.bits} & 0x7fffu) << 13;
  const uint32_t sign = (uint32_t{value.bits} & 0x8000u) << 16;
  const uint32_t special = magnitude >= 0x0f800000u ? 0x70000000u : 0x38000000u;  // infinity and NaN, or not
  // A subnormal is read as 2^-14 + mantissa, from which 2^-14 is then taken: exact.
  const float subnormal = std::bit_cast<float>(magnitude + 0x38800000u) - 0x1p-14f;
  const uint32_t absolute =
      magnitude < 0x00800000u ? std::bit_cast<uint32_t>(subnormal) : magnitude + special;
  return std::bit_cast<float>(sign | absolute);
}

template <typename T>
T from_float(float value) {
  return T(value);
}
template <>
inline bf16 from_float<bf16>(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;
  bf16 result;
  result.bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  return result;
}
template <>
inline f16 from_float<f16>(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = u & 0x7fffffffu;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  f16 result;
  result.bits = static_cast<uint16_t>(((u >> 16) & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
  return result;
}

/// ReLU that hands NaN on, as PyTorch.
inline float relu_value(float v) { return v <= 0.0f ? 0.0f : v; }

}  // namespace cytograd
