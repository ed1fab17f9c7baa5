// Six grey channels beside their fusion, a site a row: what a person looks at first.
#pragma once

#include <vector>

#include "data/image.h"

namespace cytograd {

struct ContactSheetOptions {
  int64_t tile = 192;  ///< side of each picture in pixels, at most; sites are averaged down to it
  int64_t gap = 4;     ///< white pixels between pictures
};

/// One row a site: its channels, each stretched from its 1st to its 99.8th percentile, then the colormap of its raw
/// values. Sites have six channels and one size. Throws Error where they do not.
Image contact_sheet(const std::vector<Image>& sites, const ContactSheetOptions& options);

}  // namespace cytograd
