#include "data/split.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "data/domains.h"
#include "data/list_some.h"
#include "data/natural_order.h"
#include "engine/check.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

using Indices = std::vector<int64_t>;
using Groups = std::map<std::string, Indices, NaturalLess>;  // value of the column -> its samples

/// Streams of the generator, so that no two uses of one seed draw the same numbers.
enum Stream : uint32_t { kDrawGroups = 0x5347, kDrawImages = 0x5349 };

Groups group_samples(const Dataset& dataset, const std::string& column) {
  const size_t c = dataset.require_column(column);
  Groups groups;
  for (size_t i = 0; i < dataset.samples.size(); ++i)
    groups[dataset.samples[i].values[c]].push_back(static_cast<int64_t>(i));
  if (const auto without = groups.find(""); without != groups.end())
    fail("{}: {} of {} images have no {}, such as {}; keep only those that do", dataset.root.string(),
         without->second.size(), dataset.samples.size(), column,
         dataset.samples[static_cast<size_t>(without->second[0])].name);
  return groups;
}

/// Sites of one well show the same cells' neighbours: on both sides, they would flatter the accuracy.
void require_whole_wells(const Dataset& dataset, const std::vector<bool>& held_out) {
  if (may_share_wells(dataset)) return;  // whole plates may be held out
  std::unordered_map<std::string, bool> side;
  const std::vector<std::string> wells = well_keys(dataset);
  for (size_t i = 0; i < wells.size(); ++i) {
    if (side.emplace(wells[i], held_out[i]).first->second == held_out[i]) continue;
    fail(
        "{}: images of one well ({}) would be trained on and held out; hold out whole wells, plates or "
        "experiments with --group, or tell wells of one name apart by columns 'experiment' and 'plate'",
        dataset.root.string(), wells[i]);
  }
}

Split split_at(const Dataset& dataset, std::vector<std::string> held_out_groups, const Indices& validation) {
  Split split;
  split.held_out_groups = std::move(held_out_groups);
  std::vector<bool> held_out(dataset.samples.size());
  for (const int64_t i : validation) held_out[static_cast<size_t>(i)] = true;
  for (size_t i = 0; i < held_out.size(); ++i)
    (held_out[i] ? split.validation : split.train).push_back(static_cast<int64_t>(i));
  require_whole_wells(dataset, held_out);
  return split;
}

/// Takes the groups in a drawn order, each where it brings the sum nearer to the target; at least one is
/// taken and at least one is left.
std::vector<std::string> draw_groups(const Groups& groups, double target, uint64_t seed) {
  std::vector<const Groups::value_type*> order;
  for (const auto& group : groups) order.push_back(&group);
  Philox random(seed, 0, kDrawGroups);
  shuffle(order, random);
  const auto size = [](const Groups::value_type* group) { return static_cast<double>(group->second.size()); };
  const auto smaller = [&](auto a, auto b) { return size(a) < size(b); };
  std::vector<const Groups::value_type*> taken;
  double sum = 0;
  for (const auto* group : order) {
    if (std::abs(sum + size(group) - target) >= std::abs(sum - target)) continue;
    taken.push_back(group);
    sum += size(group);
  }
  if (taken.empty()) taken.push_back(*std::min_element(order.begin(), order.end(), smaller));
  if (taken.size() == order.size()) taken.erase(std::min_element(taken.begin(), taken.end(), smaller));
  std::vector<std::string> names;
  for (const auto* group : taken) names.push_back(group->first);
  std::sort(names.begin(), names.end(), NaturalLess());
  return names;
}

/// How many of each class to hold out: its share, rounded so that the shares add up to that of the whole
/// (largest remainders first), and never the last image of a class.
std::vector<size_t> class_shares(const std::vector<Indices>& of_class, double fraction) {
  std::vector<size_t> shares(of_class.size()), order(of_class.size());
  std::vector<double> remainder(of_class.size());
  size_t count = 0, held_out = 0;
  for (size_t k = 0; k < of_class.size(); ++k) {
    const double share = fraction * static_cast<double>(of_class[k].size());
    shares[k] = static_cast<size_t>(share);
    remainder[k] = share - std::floor(share);
    count += of_class[k].size();
    held_out += shares[k];
  }
  const auto target = static_cast<size_t>(std::llround(fraction * static_cast<double>(count)));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainder[a] > remainder[b]; });
  for (const size_t k : order)
    if (held_out < target && shares[k] + 1 < of_class[k].size()) {
      ++shares[k];
      ++held_out;
    }
  return shares;
}

Indices draw_images(const Dataset& dataset, const Classes& classes, const FractionSplit& options) {
  // What is drawn is a well, by the name of its first site, or where there are none an image.
  const std::vector<std::string> wells = well_keys(dataset);
  const auto by_name = [&](int64_t a, int64_t b) {
    return dataset.samples[static_cast<size_t>(a)].name < dataset.samples[static_cast<size_t>(b)].name;
  };
  Indices order(classes.of_sample.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), by_name);
  std::vector<Indices> of_class(classes.names.size());  // the first image of each well
  std::unordered_map<std::string, Indices> sites;
  for (const int64_t i : order) {
    const auto at = static_cast<size_t>(i);
    Indices& others = sites[wells.empty() ? dataset.samples[at].name : wells[at]];
    if (others.empty()) of_class[static_cast<size_t>(classes.of_sample[at])].push_back(i);
    others.push_back(i);
  }
  const std::vector<size_t> shares = class_shares(of_class, options.fraction);
  Indices validation;
  for (size_t k = 0; k < of_class.size(); ++k) {
    Philox random(options.seed, k, kDrawImages);
    shuffle(of_class[k], random);
    for (size_t j = 0; j < shares[k]; ++j) {
      const auto first = static_cast<size_t>(of_class[k][j]);
      const Indices& well = sites.at(wells.empty() ? dataset.samples[first].name : wells[first]);
      validation.insert(validation.end(), well.begin(), well.end());
    }
  }
  return validation;
}

}  // namespace

Classes index_classes(const Dataset& dataset, const std::string& column) {
  const Groups groups = group_samples(dataset, column);
  if (groups.size() < 2)
    fail("{}: a classifier needs two classes or more, but {} has {}", dataset.root.string(), column,
         groups.empty() ? "none" : "only '" + groups.begin()->first + "'");
  Classes classes;
  classes.of_sample.resize(dataset.samples.size());
  for (const auto& [name, members] : groups) {
    for (const int64_t i : members)
      classes.of_sample[static_cast<size_t>(i)] = static_cast<int64_t>(classes.names.size());
    classes.names.push_back(name);
  }
  return classes;
}

Split split_by_groups(const Dataset& dataset, const std::string& column,
                      const std::vector<std::string>& groups) {
  const Groups there = group_samples(dataset, column);
  if (groups.empty()) fail("no group of {} is named to hold out", column);
  const std::set<std::string, NaturalLess> wanted(groups.begin(), groups.end());
  Indices validation;
  for (const std::string& group : wanted) {
    const auto found = there.find(group);
    if (found == there.end()) {
      std::vector<std::string> names;
      for (const auto& [name, members] : there) names.push_back(name);
      fail("{}: no image has {} '{}'; there are {}", dataset.root.string(), column, group, list_some(names));
    }
    validation.insert(validation.end(), found->second.begin(), found->second.end());
  }
  if (wanted.size() == there.size())
    fail("{}: all groups of {} are held out, which leaves none to train on", dataset.root.string(), column);
  return split_at(dataset, {wanted.begin(), wanted.end()}, validation);
}

Split split_by_fraction(const Dataset& dataset, const Classes& classes, const FractionSplit& options) {
  if (!(options.fraction > 0.0 && options.fraction < 1.0))
    fail("the fraction to hold out is {}, but must be between 0 and 1", options.fraction);
  if (options.column.empty()) {
    CHECK(classes.of_sample.size() == dataset.samples.size(), "{} classes of {} samples",
          classes.of_sample.size(), dataset.samples.size());
    const Indices validation = draw_images(dataset, classes, options);
    if (validation.empty())
      fail("{}: {:g}% of {} images{} is none to hold out", dataset.root.string(), 100 * options.fraction,
           dataset.samples.size(), well_keys(dataset).empty() ? "" : " in whole wells");
    return split_at(dataset, {}, validation);
  }
  const Groups groups = group_samples(dataset, options.column);
  if (groups.size() < 2)
    fail("{}: {} has fewer than two groups, so that none can be held out whole", dataset.root.string(),
         options.column);
  const double target = options.fraction * static_cast<double>(dataset.samples.size());
  std::vector<std::string> held_out = draw_groups(groups, target, options.seed);
  Indices validation;
  for (const std::string& group : held_out) {
    const Indices& members = groups.find(group)->second;
    validation.insert(validation.end(), members.begin(), members.end());
  }
  return split_at(dataset, std::move(held_out), validation);
}

}  // namespace cytograd
