#include "data/synth_plane.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace cytograd::synth {
namespace {

void gaussian_blur(Plane& plane, float sigma) {
  const int n = plane.size;
  const int radius = std::max(1, static_cast<int>(std::ceil(2.5f * sigma)));
  std::vector<float> weight(radius + 1);
  float sum = 0;
  for (int i = 0; i <= radius; ++i) {
    weight[i] = std::exp(-0.5f * static_cast<float>(i * i) / (sigma * sigma));
    sum += i == 0 ? weight[i] : 2 * weight[i];
  }
  for (float& w : weight) w /= sum;

  std::vector<float> padded(n + 2 * radius);
  Plane across(n);
  for (int row = 0; row < n; ++row) {
    const float* in = &plane.values[static_cast<size_t>(row) * n];
    float* out = &across.values[static_cast<size_t>(row) * n];
    std::fill_n(padded.begin(), radius, in[0]);
    std::copy_n(in, n, padded.begin() + radius);
    std::fill_n(padded.begin() + radius + n, radius, in[n - 1]);
    for (int k = -radius; k <= radius; ++k) {
      const float w = weight[std::abs(k)];
      const float* shifted = padded.data() + radius + k;
      for (int column = 0; column < n; ++column) out[column] += w * shifted[column];
    }
  }
  std::fill(plane.values.begin(), plane.values.end(), 0.0f);
  for (int row = 0; row < n; ++row) {
    float* out = &plane.values[static_cast<size_t>(row) * n];
    for (int k = -radius; k <= radius; ++k) {
      const float w = weight[std::abs(k)];
      const float* in = &across.values[static_cast<size_t>(std::clamp(row + k, 0, n - 1)) * n];
      for (int column = 0; column < n; ++column) out[column] += w * in[column];
    }
  }
}

// Running sums; rows first, then all columns side by side.
void box_blur(Plane& plane, int radius) {
  const int n = plane.size;
  const float scale = 1.0f / static_cast<float>(2 * radius + 1);
  Plane across(n);
  for (int row = 0; row < n; ++row) {
    float sum = 0;
    for (int k = -radius; k <= radius; ++k) sum += plane.at(row, std::clamp(k, 0, n - 1));
    for (int column = 0; column < n; ++column) {
      across.at(row, column) = sum * scale;
      sum +=
          plane.at(row, std::min(column + radius + 1, n - 1)) - plane.at(row, std::max(column - radius, 0));
    }
  }
  std::vector<float> sums(n);
  for (int k = -radius; k <= radius; ++k)
    for (int column = 0; column < n; ++column) sums[column] += across.at(std::clamp(k, 0, n - 1), column);
  for (int row = 0; row < n; ++row) {
    const int enters = std::min(row + radius + 1, n - 1);
    const int leaves = std::max(row - radius, 0);
    for (int column = 0; column < n; ++column) {
      plane.at(row, column) = sums[column] * scale;
      sums[column] += across.at(enters, column) - across.at(leaves, column);
    }
  }
}

void standardise(Plane& plane) {
  double sum = 0, squares = 0;
  for (const float v : plane.values) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const double count = static_cast<double>(plane.values.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(squares / count - mean * mean, 1e-12));
  for (float& v : plane.values) v = static_cast<float>((v - mean) / deviation);
}

Plane quarter(const Plane& plane) {
  const int n = plane.size;
  Plane small((n + 3) / 4);
  for (int row = 0; row < 4 * small.size; ++row)
    for (int column = 0; column < 4 * small.size; ++column)
      small.at(row / 4, column / 4) += 0.0625f * plane.at(std::min(row, n - 1), std::min(column, n - 1));
  return small;
}

// Linear interpolation between the centres of 4 x 4 blocks.
Plane enlarge(const Plane& small, int size) {
  const auto position = [&](int i) {
    return std::clamp((static_cast<float>(i) + 0.5f) * 0.25f - 0.5f, 0.0f,
                      static_cast<float>(small.size - 1));
  };
  Plane plane(size);
  std::vector<float> line(small.size);
  for (int row = 0; row < size; ++row) {
    const float y = position(row);
    const int above = static_cast<int>(y), below = std::min(above + 1, small.size - 1);
    const float down = y - static_cast<float>(above);
    for (int i = 0; i < small.size; ++i)
      line[i] = small.at(above, i) + down * (small.at(below, i) - small.at(above, i));
    for (int column = 0; column < size; ++column) {
      const float x = position(column);
      const int left = static_cast<int>(x), right = std::min(left + 1, small.size - 1);
      plane.at(row, column) = line[left] + (x - static_cast<float>(left)) * (line[right] - line[left]);
    }
  }
  return plane;
}

Plane blurred_noise(int size, float sigma, Philox& random) {
  Plane plane(size);
  for (float& v : plane.values) v = rough_normal(random);
  blur(plane, sigma);
  return plane;
}

}  // namespace

void blur(Plane& plane, float sigma) {
  if (sigma <= 0.05f) return;
  if (sigma <= 3.0f) return gaussian_blur(plane, sigma);
  // A box of width 2r + 1 has variance r (r + 1) / 3, and three of them add up.
  const int radius = std::max(1, static_cast<int>(std::lround(std::sqrt(sigma * sigma + 0.25f) - 0.5f)));
  for (int pass = 0; pass < 3; ++pass) box_blur(plane, radius);
}

Plane wide_blur(const Plane& plane, float sigma) {
  Plane small = quarter(plane);
  blur(small, 0.25f * sigma);
  return enlarge(small, plane.size);
}

Plane smooth_noise(int size, float wavelength, Philox random) {
  Plane plane = wavelength < 12.0f ? blurred_noise(size, wavelength / 3.0f, random)
                                   : enlarge(blurred_noise((size + 3) / 4, wavelength / 12.0f, random), size);
  standardise(plane);
  return plane;
}

Plane band_noise(int size, float wavelength, Philox random) {
  Plane plane = blurred_noise(size, wavelength / 5.0f, random);
  Plane slow = plane;
  blur(slow, wavelength / 4.0f);
  for (size_t i = 0; i < plane.values.size(); ++i) plane.values[i] -= slow.values[i];
  standardise(plane);
  return plane;
}

void add_spot(Plane& plane, const Spot& spot, const std::vector<int>* owner, int only) {
  const int n = plane.size;
  const int radius = std::clamp(static_cast<int>(std::ceil(2.5f * spot.sigma)), 1, 32);
  const int row0 = static_cast<int>(std::floor(spot.y)), column0 = static_cast<int>(std::floor(spot.x));
  if (row0 < -radius || row0 >= n + radius || column0 < -radius || column0 >= n + radius) return;
  // Gaussians at unit steps by their ratios, which fall geometrically: three exponentials instead of one a step.
  const float factor = -0.5f / (spot.sigma * spot.sigma);
  const float fall = std::exp(2.0f * factor);
  const auto fill = [&](std::array<float, 65>& values, float offset) {
    float value = std::exp(factor * offset * offset), ratio = std::exp(factor * (2.0f * offset + 1.0f));
    for (int k = 0; k <= 2 * radius; ++k) {
      values[k] = value;
      value *= ratio;
      ratio *= fall;
    }
  };
  std::array<float, 65> across, down;
  fill(across, static_cast<float>(column0 - radius) + 0.5f - spot.x);
  fill(down, static_cast<float>(row0 - radius) + 0.5f - spot.y);
  for (int row = std::max(0, row0 - radius); row <= std::min(n - 1, row0 + radius); ++row) {
    const float amplitude = spot.amplitude * down[row - row0 + radius];
    for (int column = std::max(0, column0 - radius); column <= std::min(n - 1, column0 + radius); ++column) {
      const size_t i = static_cast<size_t>(row) * n + column;
      if (!owner || (*owner)[i] == only) plane.values[i] += amplitude * across[column - column0 + radius];
    }
  }
}

}  // namespace cytograd::synth
