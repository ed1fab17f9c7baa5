// The pictures of `cytograd fuse` and the tables beside them.
#pragma once

#include <string>
#include <vector>

#include "tools/pipeline.h"

namespace cytograd {

/// Names and defaults are those of `cytograd fuse --help`.
struct FuseSettings {
  std::string data;
  std::string out;
  std::string method = "colormap";
  std::string colormap;
  std::string pca_scope = "dataset";
  std::string pca_range = "percentile";
  std::string preview;
  std::vector<std::string> sites;
  std::vector<std::string> where;
  double max_missing = 0.05;
  int64_t white = 65535;
  int64_t workers = 2;

  ReadOptions read() const { return {.white = static_cast<int32_t>(white)}; }
};

/// Makes the pictures of `data` in the folder settings.out, but for those that are there, and prints what came of it.
/// Throws Error where two samples would be written to one file, the folder holds something else, or pictures
/// that were made with other settings, or another process works in it.
void fuse_images(const FuseSettings& settings, LoadedData& data);

}  // namespace cytograd
