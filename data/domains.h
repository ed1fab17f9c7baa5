// What was imaged alike: the images of a plate, an experiment, a group.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace cytograd {

/// The domain of each sample, aligned: its name for `image`, its plate of one experiment for `plate`, its `experiment`,
/// the value of the dataset's own group column for `group`, one for all for `dataset`. Throws Error where the dataset
/// lacks the column that this goes by.
std::vector<std::string> domain_keys(const Dataset& dataset, const std::string& kind);

/// The well of each sample, aligned: sites of one well have one key, of well, experiment, plate and the dataset's group
/// column, as far as there are such. Empty where the dataset has no columns well and site, or besides them none of those, and a
/// site of a well twice, here or `beside`: then wells of several plates may be called the same.
std::vector<std::string> well_keys(const Dataset& dataset, const Dataset* beside = nullptr);

}  // namespace cytograd
