// Counter-based random numbers by Philox4x32-10. A draw depends on its key and counter alone, never on which thread
// asks or when.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace cytograd {

/// A stream of draws for one (seed, a, b) triple, for example (seed, epoch, sample).
class Philox {
 public:
  explicit constexpr Philox(uint64_t seed, uint64_t a = 0, uint32_t b = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        counter_{0, b, static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32)} {}

  /// 32 random bits.
  constexpr uint32_t bits() {
    if (left_ == 0) {
      const PhiloxWords words = philox4x32(counter_, key_[0], key_[1]);
      block_ = {words.w0, words.w1, words.w2, words.w3};
      ++counter_.w0;
      left_ = 4;
    }
    return block_[4 - left_--];
  }

  /// Uniform in [0, 1) with 24 bits.
  constexpr float uniform() { return static_cast<float>(bits() >> 8) * 0x1p-24f; }
  constexpr float uniform(float low, float high) { return low + (high - low) * uniform(); }

  /// Uniform in [0, n) for 0 < n <= 2^32, by multiply-shift with rejection (Lemire 2019): no bias.
  constexpr uint32_t below(uint64_t n) {
    uint64_t product = bits() * n;
    const uint32_t threshold = static_cast<uint32_t>((uint64_t{1} << 32) % n);
    while (static_cast<uint32_t>(product) < threshold) product = bits() * n;
    return static_cast<uint32_t>(product >> 32);
  }

  /// Standard normal by Box and Muller.
  float normal() {
    const float u = 1.0f - uniform();  // (0, 1]
    const float v = uniform();
    return std::sqrt(-2.0f * std::log(u)) * std::cos(2.0f * std::numbers::pi_v<float> * v);
  }

 private:
  std::array<uint32_t, 2> key_;
  PhiloxWords counter_;
  std::array<uint32_t, 4> block_{};
  int left_ = 0;
};

/// Every order is as likely, by Fisher and Yates.
template <typename T>
void shuffle(std::vector<T>& values, Philox& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

}  // namespace cytograd
