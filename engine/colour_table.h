// What Fusion::colormap adds up.
#pragma once

#include <array>
#include <vector>

#include "engine/tensor.h"

namespace cytograd {

/// A value v adds floor(x * colour) to red, green and blue, with x = min(1, v * scale) rounded to f32 and x * colour
/// not rounded.
struct ColourRamp {
  float scale = 1.0f;
  std::array<float, 3> colour{};
};

/// What each value of each channel adds to red, green and blue.
class ColourTable {
 public:
  ColourTable() = default;
  /// u8 [C, 256, 3], on the device of the images it is for, which is not written from then on. Throws CheckError where
  /// it is of another type or shape.
  explicit ColourTable(Tensor shares);

  bool defined() const { return shares_.defined(); }
  const Tensor& shares() const { return shares_; }
  /// The same in numbers, [C], where each channel's shares grow in proportion to its value up to some value, as in the
  /// RxRx1 colormap; else empty. Exactly: all 256 values were tried.
  const std::vector<ColourRamp>& ramps() const { return ramps_; }

  ColourTable to(Device device) const;

 private:
  Tensor shares_;
  std::vector<ColourRamp> ramps_;
};

}  // namespace cytograd
