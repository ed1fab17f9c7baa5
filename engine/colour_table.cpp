#include "engine/colour_table.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/check.h"

namespace cytograd {
namespace {

/// v * scale up to 1, in f64.
double part_of(const ColourRamp& ramp, int v) {
  return static_cast<double>(std::min(1.0f, static_cast<float>(v) * ramp.scale));
}

/// The ramp whose shares these are, [256, 3], if there is one.
std::optional<ColourRamp> ramp_of(const uint8_t* shares) {
  int full = 255;  // what is above adds no more
  while (full > 1 && std::equal(shares + 3 * (full - 1), shares + 3 * full, shares + 3 * 255)) --full;
  ColourRamp ramp{.scale = 1.0f / static_cast<float>(full)};
  for (size_t k = 0; k < 3; ++k) {
    const auto share = [&](int v) { return static_cast<double>(shares[3 * v + static_cast<int>(k)]); };
    // share <= x * colour < share + 1, for all values
    double least = 0.0, limit = 256.0;
    for (int v = 1; v < 256; ++v) {
      const double x = part_of(ramp, v);
      least = std::max(least, share(v) / x);
      limit = std::min(limit, (share(v) + 1.0) / x);
    }
    ramp.colour[k] = static_cast<float>((least + limit) / 2.0);
    for (int v = 0; v < 256; ++v) {
      if (std::floor(part_of(ramp, v) * static_cast<double>(ramp.colour[k])) != share(v)) return {};
    }
  }
  return ramp;
}

}  // namespace

ColourTable::ColourTable(Tensor shares) : shares_(std::move(shares)) {
  const Shape& shape = shares_.shape();
  CHECK(shares_.dtype() == DType::u8 && shape.rank() == 3 && shape[1] == 256 && shape[2] == 3, "{} {}",
        dtype_name(shares_.dtype()), shape);
  const Tensor here = shares_.to(Device::cpu);
  for (int64_t c = 0; c < shape[0]; ++c) {
    const auto ramp = ramp_of(here.data<uint8_t>() + c * 256 * 3);
    if (!ramp) {
      ramps_.clear();
      return;
    }
    ramps_.push_back(*ramp);
  }
}

ColourTable ColourTable::to(Device device) const {
  ColourTable result = *this;
  result.shares_ = shares_.to(device);
  return result;
}

}  // namespace cytograd
