#include "data/domains.h"

#include "engine/check.h"

namespace cytograd {
namespace {

std::vector<std::string> values_of(const Dataset& dataset, size_t column) {
  std::vector<std::string> values;
  for (const Sample& sample : dataset.samples) values.push_back(sample.values[column]);
  return values;
}

}  // namespace

std::vector<std::string> domain_keys(const Dataset& dataset, const std::string& kind) {
  std::vector<std::string> keys;
  if (kind == "dataset") return std::vector<std::string>(dataset.samples.size(), kind);
  if (kind == "image") {
    for (const Sample& sample : dataset.samples) keys.push_back(sample.name);
    return keys;
  }
  if (kind == "group") {
    if (dataset.group_column.empty()) fail("{}: its images have no groups", dataset.root.string());
    return values_of(dataset, dataset.require_column(dataset.group_column));
  }
  // A plate's number alone recurs in every experiment.
  const auto own = kind == "plate" ? dataset.column("experiment_plate") : std::nullopt;
  return values_of(dataset, own ? *own : dataset.require_column(kind));
}

std::vector<std::string> well_keys(const Dataset& dataset) {
  if (!dataset.column("well") || !dataset.column("site")) return {};
  std::vector<size_t> columns{*dataset.column("well")};
  for (const char* name : {"experiment", "plate"}) {
    if (const auto column = dataset.column(name)) columns.push_back(*column);
  }
  std::vector<std::string> keys;
  for (const Sample& sample : dataset.samples) {
    std::string key;
    for (const size_t column : columns) key += sample.values[column] + ' ';
    key.pop_back();
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace cytograd
