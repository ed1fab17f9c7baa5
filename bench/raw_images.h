// Raw images in memory, as a training run has them of a dataset that fits.
#pragma once

#include <memory>
#include <vector>

#include "data/image_store.h"
#include "data/loader.h"

namespace cytograd::bench {

/// Grey noise of 8 bits a channel; more of it than a processor's caches hold, unless the images are tiny.
class RawImages {
 public:
  struct Options {
    int64_t side = 0;  ///< pixels
    int64_t channels = 0;
    int64_t classes = 0;   ///< labels go round
    int64_t at_least = 0;  ///< images
  };
  explicit RawImages(const Options& options);

  /// Loads `count` images with the labels of their classes; which ones, and their views, depends on the epoch.
  std::unique_ptr<Loader> load(int64_t count, const LoaderOptions& options, int64_t epoch);

 private:
  int64_t classes_;
  Dataset dataset_;
  std::unique_ptr<ImageStore> store_;
};

}  // namespace cytograd::bench
