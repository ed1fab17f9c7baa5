// pca.json: principal components and what they were fitted on, by scope.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/natural_order.h"
#include "data/pca.h"

namespace cytograd {

/// The components of one scope: of an image, a plate, ...
struct PcaFit {
  ChannelSums sums;
  Pca pca;
  std::vector<ValueRange> ranges = {};  ///< [k]; empty where nothing is shown
};

struct PcaFile {
  std::string scope;        ///< "image", "plate", ...
  std::string fingerprint;  ///< of what it was fitted on, for those who write it
  std::map<std::string, PcaFit, NaturalLess> fits;
};

/// Throws Error, "<place>: ...", where a scope's key is not UTF-8, which no JSON holds as it is.
void require_pca_keys(const std::vector<std::string>& keys, const std::string& place);

/// As JSON: for each scope's key `pixels`, `sums` [C], `products` [C, C] (sums of x and of x*y, whole numbers), `mean`,
/// `components`, `explained_variance`, `explained_variance_ratio` and `ranges`. Numbers read back as they were.
std::string format_pca(const PcaFile& file);

/// Throws Error naming the file where it is absent or malformed.
PcaFile read_pca(const std::filesystem::path& file);

}  // namespace cytograd
