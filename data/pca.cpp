#include "data/pca.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "engine/check.h"
#include "engine/ops.h"

namespace cytograd {
namespace {

__extension__ using Integer = __int128;  // n * sum of products: 2^47 * 2^63

constexpr int64_t kColours = 3;

/// Values of one component at pixels [n, C].
std::vector<double> project(const Pca& pca, size_t component, std::span<const uint8_t> pixels) {
  const std::vector<double>& weight = pca.components[component];
  const size_t channels = weight.size();
  std::vector<double> values(pixels.size() / channels);
  for (size_t p = 0; p < values.size(); ++p) {
    for (size_t c = 0; c < channels; ++c)
      values[p] += weight[c] * (static_cast<double>(pixels[p * channels + c]) - pca.mean[c]);
  }
  return values;
}

double percentile(std::vector<double>& sorted, double percent) {
  const double at = percent / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

}  // namespace

ChannelSums::ChannelSums(int64_t channels, Device device)
    : sums_(Tensor::zeros({channels + 1, channels}, DType::i64, device)) {}

ChannelSums::ChannelSums(int64_t pixels, std::span<const int64_t> sums, std::span<const int64_t> products)
    : pixels_(pixels) {
  const auto channels = static_cast<int64_t>(sums.size());
  std::vector<int64_t> values(sums.begin(), sums.end());
  values.insert(values.end(), products.begin(), products.end());
  sums_ = Tensor::from(values, {channels + 1, channels});
}

void ChannelSums::add(const StoredImage& image) {
  CHECK(image.channels == channels(), "{} channels and {}", image.channels, channels());
  const Shape shape{image.height, image.width, image.channels};
  const Tensor x =
      Tensor::wrap(std::const_pointer_cast<uint8_t[]>(image.pixels), shape, DType::u8);  // read alone
  channel_sums(x.to(sums_.device()), sums_);
  pixels_ += image.height * image.width;
}

void ChannelSums::add(const ChannelSums& other) {
  if (!sums_.defined()) {
    *this = ChannelSums(other.channels());
    sums_.copy_from(other.sums_);
  } else {
    CHECK(other.channels() == channels(), "{} channels and {}", other.channels(), channels());
    std::vector<int64_t> sum = values();
    const std::vector<int64_t> more = other.values();
    std::transform(sum.begin(), sum.end(), more.begin(), sum.begin(), std::plus<>());
    sums_ = Tensor::from(sum, sums_.shape(), sums_.device());
  }
  pixels_ += other.pixels_;
}

Tensor Pca::weight() const {
  std::vector<float> values;
  for (const std::vector<double>& component : components) {
    for (const double v : component) values.push_back(static_cast<float>(v));
  }
  return Tensor::from(values, {count(), channels()});
}

Tensor Pca::bias() const {
  std::vector<float> values;
  for (const std::vector<double>& component : components) {
    double at_mean = 0.0;
    for (size_t c = 0; c < mean.size(); ++c) at_mean += component[c] * mean[c];
    values.push_back(static_cast<float>(-at_mean));
  }
  return Tensor::from(values, {count()});
}

Pca fit_pca(const ChannelSums& sums, int64_t count) {
  const int64_t n = sums.pixels();
  if (n < 2) fail("a PCA needs two pixels or more, and there {} {}", n == 1 ? "is" : "are", n);
  const int64_t channels = sums.channels();
  const std::vector<int64_t> values = sums.values();
  Eigen::MatrixXd covariance(channels, channels);
  const double pairs = static_cast<double>(n) * static_cast<double>(n - 1);
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = 0; j < channels; ++j) {
      const Integer product = values[static_cast<size_t>((1 + i) * channels + j)];
      const Integer means = Integer{values[static_cast<size_t>(i)]} * values[static_cast<size_t>(j)];
      covariance(i, j) = static_cast<double>(Integer{n} * product - means) / pairs;
    }
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  CHECK(solver.info() == Eigen::Success);

  Pca pca;
  for (int64_t c = 0; c < channels; ++c)
    pca.mean.push_back(static_cast<double>(values[static_cast<size_t>(c)]) / static_cast<double>(n));
  const double total = covariance.trace();
  for (int64_t k = 0; k < std::min(count, channels); ++k) {
    const int64_t column = channels - 1 - k;  // Eigen's are by rising eigenvalue
    Eigen::VectorXd component = solver.eigenvectors().col(column);
    Eigen::Index largest = 0;
    component.cwiseAbs().maxCoeff(&largest);
    if (component[largest] < 0.0) component = -component;
    pca.components.emplace_back(component.begin(), component.end());
    const double variance = std::max(solver.eigenvalues()[column], 0.0);
    pca.explained_variance.push_back(variance);
    pca.explained_variance_ratio.push_back(total > 0.0 ? variance / total : 0.0);
  }
  return pca;
}

std::vector<ValueRange> percentile_ranges(const Pca& pca, std::span<const uint8_t> pixels) {
  if (pixels.empty()) fail("there are no pixels to take percentiles of");
  std::vector<ValueRange> ranges;
  for (size_t k = 0; k < pca.components.size(); ++k) {
    std::vector<double> values = project(pca, k, pixels);
    std::sort(values.begin(), values.end());
    ValueRange range{percentile(values, kClippedPercent), percentile(values, 100.0 - kClippedPercent)};
    if (!(range.high > range.low)) range.high = range.low + 1.0;  // one value alone is black
    ranges.push_back(range);
  }
  return ranges;
}

std::vector<ValueRange> deviation_ranges(const Pca& pca) {
  constexpr double kDeviations = 3.0;
  std::vector<ValueRange> ranges;
  for (const double variance : pca.explained_variance) {
    const double deviation = variance > 0.0 ? std::sqrt(variance) : 1.0;
    ranges.push_back({-kDeviations * deviation, kDeviations * deviation});
  }
  return ranges;
}

Image pca_to_rgb(const Image& image, const Pca& pca, std::span<const ValueRange> ranges) {
  CHECK(image.channels == pca.channels() && static_cast<int64_t>(ranges.size()) == pca.count(),
        "{} channels, {}", image.channels, pca.channels());
  // A channel's value is its share of the three colours, so that a pixel is a sum of C table entries.
  using Colours [[gnu::vector_size(4 * sizeof(float))]] = float;
  const auto channels = static_cast<size_t>(image.channels);
  std::vector<std::array<Colours, 256>> share(channels);
  Colours base{};
  for (size_t k = 0; k < kColours; ++k) {
    const size_t component = pca.count() == 1 ? 0 : k;
    if (component >= pca.components.size()) continue;
    const double scale = 255.0 / (ranges[component].high - ranges[component].low);
    double start = 0.5 - ranges[component].low * scale;  // truncated, it is rounded
    for (size_t c = 0; c < channels; ++c) {
      const double weight = pca.components[component][c] * scale;
      start -= weight * pca.mean[c];
      for (size_t v = 0; v < 256; ++v) share[c][v][k] = static_cast<float>(weight * static_cast<double>(v));
    }
    base[k] = static_cast<float>(start);
  }
  Image rgb{image.height, image.width, kColours, {}};
  const auto pixels = static_cast<size_t>(image.height * image.width);
  rgb.pixels.resize(pixels * kColours);
  const uint8_t* in = image.pixels.data();
  for (size_t p = 0; p < pixels; ++p, in += channels) {
    Colours sum = base;
    for (size_t c = 0; c < channels; ++c) sum += share[c][in[c]];
    for (size_t k = 0; k < kColours; ++k)
      rgb.pixels[p * kColours + k] = static_cast<uint8_t>(std::clamp(sum[k], 0.0f, 255.0f));
  }
  return rgb;
}

}  // namespace cytograd
