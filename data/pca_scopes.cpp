#include "data/pca_scopes.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "data/workers.h"
#include "engine/check.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

/// `count` pixels, evenly from all of the image's.
void take_pixels(const StoredImage& image, int64_t count, std::vector<uint8_t>& pixels) {
  const int64_t total = image.height * image.width;
  count = std::min(count, total);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* pixel = image.pixels.get() + i * total / count * image.channels;
    pixels.insert(pixels.end(), pixel, pixel + image.channels);
  }
}

std::vector<ValueRange> ranges_of(const Pca& pca, const std::vector<uint8_t>& pixels, PcaRange range) {
  if (range == PcaRange::none) return {};
  return range == PcaRange::deviations ? deviation_ranges(pca) : percentile_ranges(pca, pixels);
}

/// What has been gathered of a scope.
struct Scope {
  int64_t pixels_an_image = 0;  // for percentiles
  ChannelSums sums;
  std::vector<uint8_t> pixels;
};

class ScopeFitter {
 public:
  ScopeFitter(ImageStore& store, const std::vector<int64_t>& samples, const std::vector<std::string>& keys,
              const PcaFitOptions& options)
      : store_(store), samples_(samples), keys_(keys), options_(options) {
    std::map<std::string, std::vector<size_t>> members;
    for (size_t i = 0; i < keys.size(); ++i) members[keys[i]].push_back(i);
    for (const auto& [key, indices] : members) {
      const auto count = static_cast<int64_t>(indices.size());
      const int64_t chosen = std::min(count, kRangeImages);
      scopes_[key].pixels_an_image = options.range == PcaRange::percentile ? kRangePixels / chosen : 0;
      for (int64_t j = 0; j < chosen; ++j) chosen_.insert(indices[static_cast<size_t>(j * count / chosen)]);
    }
  }

  PcaFits run() {
    if (options_.device == Device::cpu) {
      for_each_item(
          static_cast<int64_t>(samples_.size()), options_.workers,
          [&](int64_t i) {
            limit_threads(1);  // the workers are the threads
            add(static_cast<size_t>(i), read(static_cast<size_t>(i)));
            return true;
          },
          options_.progress);
    } else {
      for_each_in_order<std::optional<StoredImage>>(
          {.count = static_cast<int64_t>(samples_.size()),
           .workers = options_.workers,
           .ahead = 2 * options_.workers},
          [&](int64_t i) { return read(static_cast<size_t>(i)); },
          [&](int64_t i, const std::optional<StoredImage>& image) {
            add(static_cast<size_t>(i), image);
            if (options_.progress) options_.progress(i + 1);
          });
    }
    PcaFits result;
    for (auto& [key, scope] : scopes_) {
      if (scope.sums.pixels() == 0) continue;
      result.fits.emplace(key, fit(key, scope));
    }
    std::sort(unreadable_.begin(), unreadable_.end(),
              [](const auto& a, const auto& b) { return a.sample < b.sample; });
    result.unreadable = std::move(unreadable_);
    return result;
  }

 private:
  PcaFit fit(const std::string& key, const Scope& scope) const {
    try {
      PcaFit result{.sums = scope.sums, .pca = fit_pca(scope.sums, options_.components)};
      result.ranges = ranges_of(result.pca, scope.pixels, options_.range);
      return result;
    } catch (const Error& error) {
      fail("{}: {}", key, error.what());
    }
  }

  std::optional<StoredImage> read(size_t i) {
    try {
      return store_.get(samples_[i]);
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      const std::lock_guard lock(mutex_);
      unreadable_.push_back({samples_[i], error.what()});
      return std::nullopt;
    }
  }

  void add(size_t i, const std::optional<StoredImage>& image) {
    if (!image) return;
    ChannelSums sums(image->channels, options_.device);
    sums.add(*image);
    Scope& scope = scopes_.at(keys_[i]);
    std::vector<uint8_t> pixels;
    if (scope.pixels_an_image > 0 && chosen_.contains(i)) take_pixels(*image, scope.pixels_an_image, pixels);
    const std::lock_guard lock(mutex_);
    scope.sums.add(sums);
    scope.pixels.insert(scope.pixels.end(), pixels.begin(), pixels.end());
  }

  ImageStore& store_;
  const std::vector<int64_t>& samples_;
  const std::vector<std::string>& keys_;
  const PcaFitOptions& options_;
  std::map<std::string, Scope> scopes_;
  std::unordered_set<size_t> chosen_;  // images that pixels are taken of
  std::mutex mutex_;
  std::vector<UnreadableImage> unreadable_;
};

}  // namespace

PcaFits fit_pca_scopes(ImageStore& store, const std::vector<int64_t>& samples,
                       const std::vector<std::string>& keys, const PcaFitOptions& options) {
  CHECK(samples.size() == keys.size(), "{} samples, {} keys", samples.size(), keys.size());
  return ScopeFitter(store, samples, keys, options).run();
}

PcaFit fit_pca_image(const StoredImage& image, const PcaFitOptions& options) {
  ChannelSums sums(image.channels);
  sums.add(image);
  PcaFit fit{.sums = sums, .pca = fit_pca(sums, options.components)};
  std::vector<uint8_t> pixels;
  if (options.range == PcaRange::percentile) take_pixels(image, kRangePixels, pixels);
  fit.ranges = ranges_of(fit.pca, pixels, options.range);
  return fit;
}

}  // namespace cytograd
