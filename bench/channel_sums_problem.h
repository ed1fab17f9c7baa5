// What channel_sums and its variants are timed on.
#pragma once

#include "bench/harness.h"
#include "engine/backend.h"

namespace cytograd::bench {

struct ChannelSumsProblem {
  Device device;
  int64_t pixels;
  int64_t channels;
};

/// A site of 512 x 512 pixels, and more than any cache holds.
inline std::vector<ChannelSumsProblem> channel_sums_problems(Device device) {
  const bool emulated = device == Device::cuda && cuda_is_emulated();
  const int64_t many = (emulated ? int64_t{1} << 16 : int64_t{1} << 29);
  std::vector<ChannelSumsProblem> problems{{device, 512 * 512, 6}};
  for (const int64_t channels : {1, 3, 5, 6, 8}) problems.push_back({device, many / channels, channels});
  return problems;
}

inline Row channel_sums_row(const ChannelSumsProblem& p, const std::string& variant,
                            std::function<Work()> make) {
  return {.family = "channel_sums",
          .shape = fmt::format("{}x{}", p.pixels, p.channels),
          .pass = "forward",
          .device = p.device,
          .dtype = DType::u8,
          .variant = variant,
          .make = std::move(make)};
}

}  // namespace cytograd::bench
