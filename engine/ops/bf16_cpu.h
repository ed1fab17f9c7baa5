// bf16 in f32, on a processor without bf16 arithmetic or where that is slow: operands are widened to f32, which holds
// them exactly, products are summed in f32 as the hardware would, and the result is rounded once. oneDNN needs AVX-512
// to emulate bf16, and took four times as long as this where it did.
#pragma once

#include "engine/backend.h"
#include "engine/constant_weights.h"
#include "engine/cpu_info.h"

namespace cytograd {

inline bool must_widen(DType dtype) { return dtype == DType::bf16 && !cpu_info().native_bf16; }

/// x in f32, rounded to bf16 first where it is wider, as weights are.
inline Tensor widened(Backend& cpu, const Tensor& x) {
  return cpu.cast(x.dtype() == DType::bf16 ? x : cpu.cast(x, DType::bf16), DType::f32);
}

inline Tensor widened_weights(Backend& cpu, const Tensor& w) {
  return ConstantWeights::made_of(w, WeightForm::rounded_to_bf16, [&] { return widened(cpu, w); });
}

}  // namespace cytograd
