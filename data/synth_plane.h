// Square float pictures and what is done to them whole: blur, noise, drawing.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/philox.h"

namespace cytograd::synth {

struct Plane {
  explicit Plane(int side = 0, float value = 0)
      : size(side), values(static_cast<size_t>(side) * static_cast<size_t>(side), value) {}
  float& at(int row, int column) { return values[static_cast<size_t>(row) * size + column]; }
  float at(int row, int column) const { return values[static_cast<size_t>(row) * size + column]; }

  int size;
  std::vector<float> values;  // [size, size]
};

/// Nearly normal, mean 0 and deviation 1: four bytes of one draw summed. Cheaper than Box and Muller, and
/// free of the mathematics library, whose last bit differs between machines.
inline float rough_normal(Philox& random) {
  const uint32_t b = random.bits();
  const uint32_t sum = (b & 255u) + ((b >> 8) & 255u) + ((b >> 16) & 255u) + (b >> 24);
  return (static_cast<float>(sum) - 510.0f) * (1.0f / 147.8f);
}

/// Gaussian blur with the border repeated; three box passes stand in for it above a deviation of 3 pixels.
void blur(Plane& plane, float sigma);

/// A wide blur at a quarter of the resolution, for deviations of 4 pixels and more.
Plane wide_blur(const Plane& plane, float sigma);

/// Isotropic noise of mean 0 and deviation 1 whose grains are about `wavelength` pixels apart.
Plane smooth_noise(int size, float wavelength, Philox random);

/// smooth_noise without its slow part: its zero lines form a net with meshes of about `wavelength` pixels.
Plane band_noise(int size, float wavelength, Philox random);

/// Adds a Gaussian spot at (x, y). Where `owner` is given, only to pixels whose owner is `only`.
struct Spot {
  float x = 0;
  float y = 0;
  float sigma = 1;
  float amplitude = 1;
};
void add_spot(Plane& plane, const Spot& spot, const std::vector<int>* owner = nullptr, int only = 0);

/// 0 below `low`, 1 above `high`, smooth between.
inline float smoothstep(float low, float high, float x) {
  const float t = x <= low ? 0.0f : x >= high ? 1.0f : (x - low) / (high - low);
  return t * t * (3.0f - 2.0f * t);
}

}  // namespace cytograd::synth
