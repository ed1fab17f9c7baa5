// y = x / (1 - p) where u >= p, else 0, with u uniform in [0, 1).
//
// Element i, flat, takes word i % 4 of philox4x32(counter, key) with
//   counter = {low half of i / 4, high half of i / 4, low half of n, high half of n}, n = offset + step,
//   key = {low half of seed, high half of seed},
// and u = (word >> 8) * 2^-24: draw i of Philox(seed, n).uniform() for i < 2^34. Every backend repeats
// this.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/backend_cpu.h"
#include "engine/ops/elementwise_cpu.h"
#include "kernels/philox.h"
#include "lane_moves.h"

namespace cytograd {
namespace {

constexpr int kSets = 4;  // of four counters, side by side: a round waits for the one before
constexpr int64_t kDraws = 16 * kSets;
static_assert(std::endian::native == std::endian::little,
              "the low half of 64 bits is the even one of two words");

/// Draws [first, first + kDraws) of (seed, n); `first` is a multiple of 4. philox4x32 of four counters a vector: each
/// word is the low half of 64 bits, whose high half nothing reads, so that both halves of a product are where the next
/// round wants them.
[[gnu::flatten]] void draw(int64_t first, uint64_t seed, uint64_t n, uint32_t* draws) {
  constexpr uint64_t kLow = 0xffffffff;
  std::array<LongLanes, kSets> w0, w1, w2, w3;
  unrolled<kSets>([&](int set) {
    const LongLanes index = LongLanes{0, 1, 2, 3} + (static_cast<uint64_t>(first / 4) + 4 * set);
    w0[set] = index;
    w1[set] = index >> 32;
    w2[set] = LongLanes{} + n;
    w3[set] = LongLanes{} + (n >> 32);
  });
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  const auto product = [](const LongLanes& word, uint32_t multiplier) {
    return even_products(reinterpret_cast<WordLanes>(word), WordLanes{} + multiplier);
  };
  for (int round = 0; round < philox::kRounds; ++round) {
    unrolled<kSets>([&](int set) {
      const LongLanes p0 = product(w0[set], philox::kMultiplier0);
      const LongLanes p1 = product(w2[set], philox::kMultiplier1);
      w0[set] = (p1 >> 32) ^ w1[set] ^ key0;
      w1[set] = p1;
      w2[set] = (p0 >> 32) ^ w3[set] ^ key1;
      w3[set] = p0;
    });
    key0 += philox::kKeyStep0;
    key1 += philox::kKeyStep1;
  }
  unrolled<kSets>([&](int set) {
    const LongLanes w01 = (w0[set] & kLow) | (w1[set] << 32);
    const LongLanes w23 = (w2[set] & kLow) | (w3[set] << 32);
    const LongLanes words[2] = {__builtin_shufflevector(w01, w23, 0, 4, 1, 5),
                                __builtin_shufflevector(w01, w23, 2, 6, 3, 7)};
    std::memcpy(draws + 16 * set, words, sizeof(words));
  });
}

/// y = u >= probability ? x * kept : 0, as u * 2^24 >= threshold: both sides are whole numbers.
template <typename T>
void drop_block(const T* x, const uint32_t* words, int32_t threshold, float kept, int64_t count, T* y) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float v = static_cast<float>(x[j]) * kept;
    store_rounded(y[j], static_cast<int32_t>(words[j] >> 8) >= threshold ? v : 0.0f);
  }
}

template <typename T>
void drop(const T* x, T* y, int64_t count, const DropoutOptions& options) {
  const float kept = 1.0f / (1.0f - options.probability);
  const auto threshold = static_cast<int32_t>(std::ceil(options.probability * 0x1p24f));
  const uint64_t step = options.step.defined() ? static_cast<uint64_t>(*options.step.data<int64_t>()) : 0;
  parallel_for(count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kDraws) {
      uint32_t words[kDraws];
      draw(i, options.seed, options.offset + step, words);
      drop_block(x + i, words, threshold, kept, std::min(kDraws, end - i), y + i);
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
