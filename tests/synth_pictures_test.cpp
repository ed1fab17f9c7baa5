// The simulator's pictures: classes differ in form and not only in brightness, batches differ in brightness.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <queue>
#include <utility>
#include <vector>

#include "data/synth.h"

namespace cytograd {
namespace {

// A channel with its own mean and deviation taken out: nothing that depends on gain or offset is left.
std::vector<float> standardised(const Image& image, int channel) {
  std::vector<float> plane;
  double sum = 0, squares = 0;
  for (size_t i = channel; i < image.pixels.size(); i += 6) {
    plane.push_back(image.pixels[i]);
    sum += plane.back();
    squares += plane.back() * plane.back();
  }
  const double count = static_cast<double>(plane.size()), mean = sum / count;
  const double deviation = std::sqrt(squares / count - mean * mean);
  for (float& v : plane) v = static_cast<float>((v - mean) / deviation);
  return plane;
}

// Connected bright regions of at least 20 pixels.
int count_nuclei(const Image& image) {
  const std::vector<float> plane = standardised(image, 0);
  const int n = static_cast<int>(image.width);
  std::vector<bool> seen(plane.size());
  int regions = 0;
  for (int start = 0; start < n * n; ++start) {
    if (seen[start] || plane[start] < 0.8f) continue;
    int pixels = 0;
    std::queue<int> open({start});
    seen[start] = true;
    for (; !open.empty(); open.pop(), ++pixels) {
      const int at = open.front(), row = at / n, column = at % n;
      for (const auto& [r, c] :
           {std::pair{row - 1, column}, {row + 1, column}, {row, column - 1}, {row, column + 1}}) {
        if (r < 0 || r >= n || c < 0 || c >= n || seen[r * n + c] || plane[r * n + c] < 0.8f) continue;
        seen[r * n + c] = true;
        open.push(r * n + c);
      }
    }
    regions += pixels >= 20;
  }
  return regions;
}

// How much of the standardised variance lies between neighbouring pixels: the grain of a texture.
float grain(const Image& image, int channel) {
  const std::vector<float> plane = standardised(image, channel);
  const int n = static_cast<int>(image.width);
  float sum = 0;
  for (int row = 0; row < n; ++row)
    for (int column = 1; column < n; ++column) {
      const float d = plane[row * n + column] - plane[row * n + column - 1];
      sum += d * d;
    }
  return sum / static_cast<float>(n * n);
}

TEST(SynthPictures, ClassesDifferInFormOnceBrightnessIsTakenOut) {
  const SynthOptions options = {
      .experiments = 1, .plates = 1, .wells = 41, .classes = 4, .sites = 1, .batch_effects = false};
  std::map<int, std::vector<double>> counts, grains;
  for (int well = 1; well < options.wells; ++well) {
    const Image image = render_site(options, {.well = well});
    const int label = describe_site(options, {.well = well}).sirna_id;
    counts[label].push_back(count_nuclei(image));
    grains[label].push_back(grain(image, 3));
  }
  // The two classes farthest apart, in standard errors of their difference.
  const auto separation = [](const std::map<int, std::vector<double>>& groups) {
    double widest = 0;
    for (const auto& [a, x] : groups)
      for (const auto& [b, y] : groups) {
        const auto moments = [](const std::vector<double>& v) {
          double sum = 0, squares = 0;
          for (const double value : v) sum += value, squares += value * value;
          const double n = static_cast<double>(v.size());
          return std::pair{sum / n, (squares / n - sum * sum / (n * n)) / (n - 1)};
        };
        const auto [mean_x, error_x] = moments(x);
        const auto [mean_y, error_y] = moments(y);
        widest = std::max(widest, std::abs(mean_x - mean_y) / std::sqrt(error_x + error_y + 1e-12));
      }
    return widest;
  };
  EXPECT_GT(separation(counts), 4.0);
  EXPECT_GT(separation(grains), 4.0);
}

TEST(SynthPictures, BatchesChangeTheBrightnessOfTheControl) {
  const auto mean = [](const SynthOptions& options, int experiment, int channel) {
    double sum = 0;
    for (int plate = 0; plate < options.plates; ++plate) {
      const Image image = render_site(options, {.experiment = experiment, .plate = plate});
      for (size_t i = channel; i < image.pixels.size(); i += 6) sum += image.pixels[i];
    }
    return sum;
  };
  // Experiments 0 and 4 are both HUVEC.
  SynthOptions options = {.experiments = 8, .plates = 4};
  double widest = 0;
  for (int c = 0; c < 6; ++c)
    widest = std::max(widest, std::abs(std::log(mean(options, 0, c) / mean(options, 4, c))));
  EXPECT_GT(widest, std::log(1.2));
}

TEST(SynthPictures, AnySizeInRangeIsDrawn) {
  for (const int size : {32, 33, 97, 256}) {
    const Image image = render_site({.size = size}, {.experiment = 1, .well = 2});
    EXPECT_EQ(image.height, size);
    EXPECT_EQ(image.width, size);
    EXPECT_EQ(image.channels, 6);
    EXPECT_EQ(image.pixels.size(), static_cast<size_t>(size) * size * 6);
    const auto [low, high] = std::ranges::minmax(image.pixels);
    EXPECT_GT(high - low, 10);
  }
}

}  // namespace
}  // namespace cytograd
