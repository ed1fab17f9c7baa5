// Splits of a dataset into training and validation samples that keep the images of one group together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace cytograd {

/// Distinct values of a label column in natural order and every sample's index into them.
struct Classes {
  std::vector<std::string> names;
  std::vector<int64_t> of_sample;  ///< aligned with Dataset::samples
};

/// Throws Error where a sample has no label or there are fewer than two classes.
Classes index_classes(const Dataset& dataset, const std::string& column);

struct Split {
  std::vector<int64_t> train;                ///< indices into Dataset::samples, ascending
  std::vector<int64_t> validation;           ///< likewise; disjoint from `train`
  std::vector<std::string> held_out_groups;  ///< natural order
};

// Sites of one well are never parted: both functions throw Error where the column would do so.

/// Holds out the named groups of `column`. Throws Error where a sample has no group, a named group does not
/// exist or a side would be empty.
Split split_by_groups(const Dataset& dataset, const std::string& column,
                      const std::vector<std::string>& groups);

/// Holds out whole groups in an order drawn by `seed`, each that brings their samples nearer to `fraction` of
/// all; at least one, and never all. With column "" the dataset has no groups and single images (or wells, with
/// all their sites) are drawn, stratified by class; the last of a class is never held out. The draw depends on names
/// and seed, not on the samples' order. Throws Error where the fraction is not between 0 and 1, a sample has no group,
/// there are fewer than two groups, or a fraction of the images is less than one.
struct FractionSplit {
  double fraction = 0.2;
  std::string column = {};
  uint64_t seed = 0;
};
Split split_by_fraction(const Dataset& dataset, const Classes& classes, const FractionSplit& options);

}  // namespace cytograd
