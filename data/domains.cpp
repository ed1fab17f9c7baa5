#include "data/domains.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

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

/// What tells wells apart, of the columns that both datasets have: the well, and experiment and plate, or else the
/// group.
std::vector<std::string> well_columns(const Dataset& dataset, const Dataset* beside) {
  const auto has = [&](const std::string& name) {
    return !name.empty() && dataset.column(name) && (beside == nullptr || beside->column(name));
  };
  if (!has("well")) return {};
  std::vector<std::string> columns{"well"};
  for (const char* name : {"experiment", "plate"}) {
    if (has(name)) columns.emplace_back(name);
  }
  const std::string& group = dataset.group_column;
  if (columns.size() == 1 && group != "well" && has(group)) columns.push_back(group);
  if (columns.size() == 1 && !has("site"))
    return {};  // a name that may be of any plate's well, or of an image
  return columns;
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
  const auto experiment = dataset.column("experiment");
  if (!experiment || !is_plate) return values_of(dataset, {column});
  keys = values_of(dataset, {*experiment, column});
  for (size_t i = 0; i < keys.size(); ++i)
    if (dataset.samples[i].values[column].empty()) keys[i].clear();
  return keys;
}

void require_keys(const Dataset& dataset, const std::string& kind, const std::vector<std::string>& keys,
                  const std::vector<int64_t>& samples) {
  const auto has_none = [&](int64_t sample) { return keys[static_cast<size_t>(sample)].empty(); };
  const auto first = std::find_if(samples.begin(), samples.end(), has_none);
  if (first == samples.end()) return;
  fail("{}: {} of {} images have no {}, such as {}; --where can choose those that do", dataset.root.string(),
       std::count_if(first, samples.end(), has_none), samples.size(), kind,
       dataset.samples[static_cast<size_t>(*first)].name);
}

std::vector<int64_t> number_keys(const Dataset& dataset, const std::string& kind,
                                 const std::vector<std::string>& keys, const std::vector<int64_t>& samples) {
  if (keys.empty()) return {};
  require_keys(dataset, kind, keys, samples);
  std::unordered_map<std::string_view, int64_t> numbers;
  std::vector<int64_t> domains;
  for (const int64_t sample : samples) {
    const auto next = static_cast<int64_t>(numbers.size());
    domains.push_back(numbers.emplace(keys[static_cast<size_t>(sample)], next).first->second);
  }
  return domains;
}

std::vector<std::string> well_keys(const Dataset& dataset, const Dataset* beside) {
  std::vector<size_t> columns;
  for (const std::string& name : well_columns(dataset, beside))
    columns.push_back(dataset.require_column(name));
  if (columns.empty()) return {};
  std::vector<std::string> keys = values_of(dataset, columns);
  for (size_t i = 0; i < keys.size(); ++i) {
    const Sample& sample = dataset.samples[i];
    if (sample.values[columns[0]].empty()) keys[i] = '\n' + sample.name;  // of no known well: one by itself
  }
  return keys;
}

bool may_share_wells(const Dataset& dataset, const Dataset* beside) {
  if (well_columns(dataset, beside).size() != 1) return false;
  std::vector<std::string> sites;
  for (const Dataset* part : {&dataset, beside}) {
    if (part == nullptr) continue;
    const std::vector<size_t> columns{part->require_column("well"), part->require_column("site")};
    const std::vector<std::string> more = values_of(*part, columns);
    for (size_t i = 0; i < more.size(); ++i)
      if (!part->samples[i].values[columns[0]].empty()) sites.push_back(more[i]);
  }
  std::sort(sites.begin(), sites.end());
  return std::adjacent_find(sites.begin(), sites.end()) != sites.end();
}

}  // namespace cytograd
