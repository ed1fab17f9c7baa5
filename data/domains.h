// What was imaged alike: the images of a plate, an experiment, a group.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace cytograd {

/// The domain of each sample, aligned: its name for `image`, its plate of one experiment for `plate`, its `experiment`,
/// the value of the dataset's own group column for `group`, one for all for `dataset`. "" of an image that
/// names no plate, and so on. Throws Error where the dataset lacks the column that this goes by.
std::vector<std::string> domain_keys(const Dataset& dataset, const std::string& kind);

/// Throws Error where one of `samples` has the key "".
void require_keys(const Dataset& dataset, const std::string& kind, const std::vector<std::string>& keys,
                  const std::vector<int64_t>& samples);

/// The keys of `samples` as numbers, in the order in which they occur; none where there are no keys. Throws Error as
/// require_keys.
std::vector<int64_t> number_keys(const Dataset& dataset, const std::string& kind,
                                 const std::vector<std::string>& keys, const std::vector<int64_t>& samples);

/// The well of each sample, aligned: sites of one well have one key, of the well and its experiment and plate, or
/// without those its group, as far as the dataset, and one that lies `beside` it, have such columns. An image whose
/// well is "" has one of its own. Empty without a column well, or where there is that alone and no site.
std::vector<std::string> well_keys(const Dataset& dataset, const Dataset* beside = nullptr);

/// Whether wells of several plates may have one key: it is the well's name alone, and a site of a well is there twice.
bool may_share_wells(const Dataset& dataset, const Dataset* beside = nullptr);

}  // namespace cytograd
