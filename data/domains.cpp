#include "data/domains.h"

#include <algorithm>
#include <string_view>

#include "engine/check.h"

namespace cytograd {
namespace {

/// Each sample's values of the columns, a blank between them.
std::vector<std::string> values_of(const Dataset& dataset, const std::vector<size_t>& columns) {
  std::vector<std::string> values;
  for (const Sample& sample : dataset.samples) {
    std::string value = sample.values[columns.front()];
    for (size_t i = 1; i < columns.size(); ++i) value += ' ' + sample.values[columns[i]];
    values.push_back(std::move(value));
  }
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
    return values_of(dataset, {dataset.require_column(dataset.group_column)});
  }
  // A plate's number alone recurs in every experiment.
  const bool is_plate = kind == "plate";
  if (const auto whole = dataset.column("experiment_plate"); whole && is_plate)
    return values_of(dataset, {*whole});
  const size_t column = dataset.require_column(kind);
  if (const auto experiment = dataset.column("experiment"); experiment && is_plate)
    return values_of(dataset, {*experiment, column});
  return values_of(dataset, {column});
}

std::vector<std::string> well_keys(const Dataset& dataset, const Dataset* beside) {
  const auto well = dataset.column("well");
  if (!well || !dataset.column("site")) return {};
  std::vector<size_t> columns{*well};
  for (const std::string_view name :
       {std::string_view("experiment"), std::string_view("plate"), std::string_view(dataset.group_column)}) {
    const auto column = dataset.column(name);
    if (column && std::find(columns.begin(), columns.end(), *column) == columns.end())
      columns.push_back(*column);
  }
  if (columns.size() == 1) {  // a site that is there twice tells of several plates
    std::vector<std::string> sites;
    for (const Dataset* part : {&dataset, beside}) {
      if (part == nullptr || !part->column("well") || !part->column("site")) continue;
      const std::vector<std::string> more = values_of(*part, {*part->column("well"), *part->column("site")});
      sites.insert(sites.end(), more.begin(), more.end());
    }
    std::sort(sites.begin(), sites.end());
    if (std::adjacent_find(sites.begin(), sites.end()) != sites.end()) return {};
  }
  return values_of(dataset, columns);
}

}  // namespace cytograd
