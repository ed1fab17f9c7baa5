// y = x / (1 - p) where u >= p, else 0, with u uniform in [0, 1).
//
// Element i, flat, takes word i % 4 of philox4x32(counter, key) with
//   counter = {low half of i / 4, high half of i / 4, low half of n, high half of n}, n = offset + step,
//   key = {low half of seed, high half of seed},
// and u = (word >> 8) * 2^-24: draw i of Philox(seed, n).uniform() for i < 2^34. Every backend repeats
// this.
#include <algorithm>

#include "engine/backend_cpu.h"
#include "engine/ops/elementwise_cpu.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

constexpr int64_t kBlocks = 16;  // of four draws each, computed side by side
constexpr int64_t kDraws = 4 * kBlocks;

/// Draws [first, first + kDraws) of (seed, n) as uniforms; `first` is a multiple of 4.
void uniforms(int64_t first, uint64_t seed, uint64_t n, float* u) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  uint32_t words[4][kBlocks];
#pragma omp simd
  for (int64_t b = 0; b < kBlocks; ++b) {
    const uint64_t index = static_cast<uint64_t>(first / 4 + b);
    const PhiloxWords drawn = philox4x32({low(index), high(index), low(n), high(n)}, low(seed), high(seed));
    words[0][b] = drawn.w0;
    words[1][b] = drawn.w1;
    words[2][b] = drawn.w2;
    words[3][b] = drawn.w3;
  }
  for (int64_t b = 0; b < kBlocks; ++b) {
    for (int64_t w = 0; w < 4; ++w) {
      u[4 * b + w] = static_cast<float>(static_cast<int32_t>(words[w][b] >> 8)) * 0x1p-24f;
    }
  }
}

/// y = u >= probability ? x * kept : 0.
template <typename T>
void drop_block(const T* x, const float* u, float probability, float kept, int64_t count, T* y) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float v = static_cast<float>(x[j]) * kept;
    store_rounded(y[j], u[j] >= probability ? v : 0.0f);
  }
}

template <typename T>
void drop(const T* x, T* y, int64_t count, const DropoutOptions& options) {
  const float probability = options.probability;
  const float kept = 1.0f / (1.0f - probability);
  const uint64_t step = options.step.defined() ? static_cast<uint64_t>(*options.step.data<int64_t>()) : 0;
  parallel_for(count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kDraws) {
      float u[kDraws];
      uniforms(i, options.seed, options.offset + step, u);
      drop_block(x + i, u, probability, kept, std::min(kDraws, end - i), y + i);
    }
  });
}
static_assert(kElementwiseGrain % 4 == 0, "ranges begin at whole blocks of draws");

}  // namespace

Tensor CpuBackend::dropout(const Tensor& x, const DropoutOptions& options) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  if (options.probability == 0.0f) {
    copy(y, x);
    return y;
  }
  dispatch_float(x.dtype(),
                 [&]<typename T>(TypeTag<T>) { drop(x.data<T>(), y.data<T>(), x.elements(), options); });
  return y;
}

}  // namespace cytograd
