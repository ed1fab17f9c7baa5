// Element types and the dispatch from a run-time type to a C++ one. The 16-bit types are
// those of kernels/half.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/check.h"
#include "kernels/half.h"

namespace cytograd {

enum class DType : uint8_t { u8, i32, i64, f32, bf16, f16 };

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

/// to = T(value). Of a 16-bit type the bits alone are assigned: GCC 12 vectorises no loop that assigns the struct.
inline void store_rounded(float& to, float value) { to = value; }
template <typename T>
void store_rounded(T& to, float value) {
  to.bits = T(value).bits;
}

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
