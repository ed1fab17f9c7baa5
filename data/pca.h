// Channel fusion `pca`: C channels to their k directions of greatest variance, from exact integer sums over pixels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/image.h"
#include "data/stored_image.h"
#include "engine/tensor.h"

namespace cytograd {

/// Sums over pixels: of each channel, and of each product of two. Whole numbers, so that neither the order of the
/// images nor the number of threads makes a difference; up to 2^47 pixels.
class ChannelSums {
 public:
  ChannelSums() = default;
  explicit ChannelSums(int64_t channels, Device device = Device::cpu);
  /// From saved sums: [C], [C, C].
  ChannelSums(int64_t pixels, std::span<const int64_t> sums, std::span<const int64_t> products);

  int64_t channels() const { return sums_.defined() ? sums_.dim(1) : 0; }
  int64_t pixels() const { return pixels_; }

  /// Adds an image of as many channels.
  void add(const StoredImage& image);
  /// Adds sums of as many channels on the same device, or takes them over where there are none yet.
  void add(const ChannelSums& other);

  /// [C + 1, C]: the sums, and below them those of products; waits for the device.
  std::vector<int64_t> values() const { return sums_.to_vector<int64_t>(); }

 private:
  Tensor sums_;  // i64 [C + 1, C]
  int64_t pixels_ = 0;
};

/// fused = components * (x - mean).
struct Pca {
  std::vector<double> mean;                      ///< [C]
  std::vector<std::vector<double>> components;   ///< [k][C], orthonormal, by falling explained variance
  std::vector<double> explained_variance;        ///< [k], with n - 1 in the denominator
  std::vector<double> explained_variance_ratio;  ///< [k], of the variance of all channels

  int64_t channels() const { return static_cast<int64_t>(mean.size()); }
  int64_t count() const { return static_cast<int64_t>(components.size()); }

  /// f32 [k, C] and [k], as PreprocessOptions takes them.
  Tensor weight() const;
  Tensor bias() const;
};

/// The first min(count, C) components, as sklearn.decomposition.PCA(svd_solver="full") has them; each with its largest
/// entry positive (sklearn.utils.extmath.svd_flip, u_based_decision=False). The covariance is exact up to its one
/// rounding to f64. Throws Error where there are fewer than two pixels.
Pca fit_pca(const ChannelSums& sums, int64_t count);

/// What is shown as 0 and as 255.
struct ValueRange {
  double low = 0.0;
  double high = 1.0;
};

/// The share of pixels below and above what is shown between black and full colour.
inline constexpr double kClippedPercent = 0.5;

/// For each component the kClippedPercent and 100 - kClippedPercent percentiles over `pixels`, [n, C], interpolated as
/// numpy.percentile. Throws Error without pixels.
std::vector<ValueRange> percentile_ranges(const Pca& pca, std::span<const uint8_t> pixels);
/// Three standard deviations to either side of the mean, whatever the pixels.
std::vector<ValueRange> deviation_ranges(const Pca& pca);

/// Components 1 to 3 as red, green and blue, v as round(255 (v - low) / (high - low)), clipped; a channel without a
/// component is 0, but a single component is grey. Throws CheckError where the image has other channels.
Image pca_to_rgb(const Image& image, const Pca& pca, std::span<const ValueRange> ranges);

}  // namespace cytograd
