// The 16-bit floating types, for host and device alike. The host's conversions have no branches, so that loops of
// them vectorise.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/host_device.h"

namespace cytograd {

/// Brain floating point: the upper half of a float. Conversion rounds to nearest even; NaN stays NaN.
struct bf16 {
  uint16_t bits;

  bf16() = default;
  CYTOGRAD_HOST_DEVICE explicit bf16(float value) {
#ifdef __CUDA_ARCH__
    bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet =
        (u >> 16) | 0x40u;  // of a NaN, which compared as bits would take two operations more
    bits = static_cast<uint16_t>(value != value ? quiet : rounded);
#endif
  }
  CYTOGRAD_HOST_DEVICE explicit operator float() const {
#ifdef __CUDA_ARCH__
    return __uint_as_float(uint32_t{bits} << 16);
#else
    return std::bit_cast<float>(uint32_t{bits} << 16);
#endif
  }
};

/// IEEE 754 binary16. Conversion rounds to nearest even and overflows to infinity.
struct f16 {
  uint16_t bits;

  f16() = default;
  CYTOGRAD_HOST_DEVICE explicit f16(float value) {
#ifdef __CUDA_ARCH__
    bits = __half_as_ushort(__float2half_rn(value));
#else
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = u & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    // Below the normal range, the float adder rounds at 2^-24.
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;  // NaN, or what rounds to 65536
    bits = static_cast<uint16_t>(((u >> 16) & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
#endif
  }
  CYTOGRAD_HOST_DEVICE explicit operator float() const {
#ifdef __CUDA_ARCH__
    return __half2float(__ushort_as_half(bits));
#else
    const uint32_t magnitude = (uint32_t{bits} & 0x7fffu) << 13;
    const uint32_t sign = (uint32_t{bits} & 0x8000u) << 16;
    const uint32_t special =
        magnitude >= 0x0f800000u ? 0x70000000u : 0x38000000u;  // infinity and NaN, or not
    // A subnormal is read as 2^-14 + mantissa, from which 2^-14 is then taken: exact.
    const float subnormal = std::bit_cast<float>(magnitude + 0x38800000u) - 0x1p-14f;
    const uint32_t absolute =
        magnitude < 0x00800000u ? std::bit_cast<uint32_t>(subnormal) : magnitude + special;
    return std::bit_cast<float>(sign | absolute);
#endif
  }
};

}  // namespace cytograd
