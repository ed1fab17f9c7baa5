// Element types and the dispatch from a run-time type to a C++ one. The conversions of both half types have no
// branches, so that loops of them vectorise.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/check.h"

namespace cytograd {

enum class DType : uint8_t { u8, i32, i64, f32, bf16, f16 };

/// Brain floating point: the upper half of a float. Conversion rounds to nearest even; NaN stays NaN.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  explicit bf16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40u;
    bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

/// IEEE 754 binary16. Conversion rounds to nearest even and overflows to infinity.
struct f16 {
  uint16_t bits = 0;

  f16() = default;
  explicit f16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = u & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    // Below the normal range, the float adder rounds at 2^-24.
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;  // NaN, or what rounds to 65536
    bits = static_cast<uint16_t>(((u >> 16) & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
  }
  explicit operator float() const {
    const uint32_t magnitude = (uint32_t{bits} & 0x7fffu) << 13;
    const uint32_t sign = (uint32_t{bits} & 0x8000u) << 16;
    const uint32_t special =
        magnitude >= 0x0f800000u ? 0x70000000u : 0x38000000u;  // infinity and NaN, or not
    // A subnormal is read as 2^-14 + mantissa, from which 2^-14 is then taken: exact.
    const float subnormal = std::bit_cast<float>(magnitude + 0x38800000u) - 0x1p-14f;
    const uint32_t absolute =
        magnitude < 0x00800000u ? std::bit_cast<uint32_t>(subnormal) : magnitude + special;
    return std::bit_cast<float>(sign | absolute);
  }
};

/// Bytes of one element.
size_t size_of(DType dtype);
std::string_view dtype_name(DType dtype);
/// Inverse of dtype_name; throws Error for an unknown name.
DType parse_dtype(std::string_view name);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<f16> {
  static constexpr DType value = DType::f16;
};

template <typename T>
struct TypeTag {
  using type = T;
};

/// Calls f(TypeTag<T>{}) with the floating type of `dtype`: dispatch_float(t, [&]<typename T>(TypeTag<T>)
/// {...}).
template <typename F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>{});
    case DType::bf16:
      return f(TypeTag<bf16>{});
    case DType::f16:
      return f(TypeTag<f16>{});
    default:
      fail("{} is not a floating type", dtype_name(dtype));
  }
}

}  // namespace cytograd
