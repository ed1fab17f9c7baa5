// Grey channels beside their fusions, a site a row: what a person looks at first.
#pragma once

#include <optional>
#include <vector>

#include "data/colormap.h"

namespace cytograd {

struct ContactSheetOptions {
  int64_t tile = 192;  ///< side of each picture in pixels, at most; sites are averaged down to it
  int64_t gap = 4;     ///< white pixels between pictures
  std::optional<Colormap> colormap = {};
};

/// One row a site: its channels, each stretched from its 1st to its 99.8th percentile; the colormap of its raw values,
/// if there is one; principal components 1 to 3 of the site alone as RGB, and those of all the sites together. Throws
/// Error where sites differ in size or channels, or do not fit the colormap.
Image contact_sheet(const std::vector<Image>& sites, const ContactSheetOptions& options);

}  // namespace cytograd
