// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3" (SC 2011). A draw depends on its key and counter alone, never on which thread asks or
// when.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace cytograd {

/// The Philox4x32-10 bijection: 128-bit counter, 64-bit key, 128 random bits.
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// A stream of draws for one (seed, a, b) triple, for example (seed, epoch, sample).
class Philox {
 public:
  explicit constexpr Philox(uint64_t seed, uint64_t a = 0, uint32_t b = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        counter_{0, b, static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32)} {}

  /// 32 random bits.
  constexpr uint32_t bits() {
    if (left_ == 0) {
      block_ = philox4x32(counter_, key_);
      ++counter_[0];
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
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int left_ = 0;
};

}  // namespace cytograd
