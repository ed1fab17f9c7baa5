// Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), for host and
// device.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace cytograd {

struct PhiloxWords {
  uint32_t w0, w1, w2, w3;

  bool operator==(const PhiloxWords&) const = default;
};

namespace philox {
constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kKeyStep0 = 0x9E3779B9;  // is added to the key after each round
constexpr uint32_t kKeyStep1 = 0xBB67AE85;
}  // namespace philox

/// One of its rounds.
CYTOGRAD_HOST_DEVICE constexpr PhiloxWords philox_round(PhiloxWords counter, uint32_t key0, uint32_t key1) {
  const uint64_t p0 = uint64_t{philox::kMultiplier0} * counter.w0;
  const uint64_t p1 = uint64_t{philox::kMultiplier1} * counter.w2;
  return {static_cast<uint32_t>(p1 >> 32) ^ counter.w1 ^ key0, static_cast<uint32_t>(p1),
          static_cast<uint32_t>(p0 >> 32) ^ counter.w3 ^ key1, static_cast<uint32_t>(p0)};
}

/// The bijection of a 128-bit counter under a 64-bit key: 128 random bits.
CYTOGRAD_HOST_DEVICE constexpr PhiloxWords philox4x32(PhiloxWords counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < philox::kRounds; ++round) {
    counter = philox_round(counter, key0, key1);
    key0 += philox::kKeyStep0;
    key1 += philox::kKeyStep1;
  }
  return counter;
}

/// Every round's keys, made once for many counters.
struct PhiloxKeys {
  uint32_t of_round[philox::kRounds][2];

  constexpr PhiloxKeys(uint32_t key0, uint32_t key1) : of_round() {
    for (auto& keys : of_round) {
      keys[0] = key0;
      keys[1] = key1;
      key0 += philox::kKeyStep0;
      key1 += philox::kKeyStep1;
    }
  }
};

CYTOGRAD_HOST_DEVICE constexpr PhiloxWords philox4x32(PhiloxWords counter, const PhiloxKeys& keys) {
  for (int round = 0; round < philox::kRounds; ++round)
    counter = philox_round(counter, keys.of_round[round][0], keys.of_round[round][1]);
  return counter;
}

}  // namespace cytograd
