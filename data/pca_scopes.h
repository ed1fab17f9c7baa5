// Principal components of many images at once, by what they share: an image, a plate, an experiment, all.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/image_store.h"
#include "data/pca_file.h"

namespace cytograd {

enum class PcaRange { none, percentile, deviations };

struct PcaFitOptions {
  int64_t components = 3;
  PcaRange range = PcaRange::percentile;
  int workers = 2;
  Device device = Device::cpu;  ///< that the sums are computed on
  std::function<void(int64_t images)> progress = {};
};

struct PcaFits {
  std::map<std::string, PcaFit, NaturalLess> fits;  ///< by key; none where no image of a key can be read
  std::vector<UnreadableImage> unreadable;          ///< in the order of the samples
};

/// Pixels that percentiles are taken of: at most kRangePixels a scope, evenly from at most kRangeImages images of it.
inline constexpr int64_t kRangePixels = 65536;
inline constexpr int64_t kRangeImages = 128;

/// Fits the components of `samples`, whose keys (domain_keys) are aligned with them. The result does not depend on the
/// workers.
PcaFits fit_pca_scopes(ImageStore& store, const std::vector<int64_t>& samples,
                       const std::vector<std::string>& keys, const PcaFitOptions& options);

/// The components of one image alone.
PcaFit fit_pca_image(const StoredImage& image, const PcaFitOptions& options);

}  // namespace cytograd
