#include "tools/training_data.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "data/domains.h"
#include "data/list_some.h"
#include "data/natural_order.h"
#include "engine/check.h"
#include "tools/checkpoint_file.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

bool filtered_by_user(const TrainOptions& options, const std::string& column) {
  return std::any_of(options.where.begin(), options.where.end(),
                     [&](const std::string& condition) { return condition.starts_with(column + "="); });
}

bool is_train_or_val(const std::string& split) { return is_split(split, "train") || is_split(split, "val"); }

/// Keeps the images with a value that is wanted; does nothing where there is none.
void keep_existing(Dataset& dataset, const std::string& column, bool (*is_wanted)(const std::string&)) {
  const auto index = dataset.column(column);
  if (!index) return;
  std::set<std::string, NaturalLess> there;
  for (const auto* samples : {&dataset.samples, &dataset.incomplete}) {
    for (const Sample& sample : *samples) there.insert(sample.values[*index]);
  }
  std::vector<std::string> kept;
  std::copy_if(there.begin(), there.end(), std::back_inserter(kept), is_wanted);
  const int64_t before = dataset.named_samples;
  if (!kept.empty()) keep_where(dataset, column, kept);
  if (dataset.named_samples < before) {
    say(fmt::format("{}: taking the {} of {} images of {} {}; --where {}=... takes others",
                    dataset.root.string(), dataset.named_samples, before, column, fmt::join(kept, " and "),
                    column));
  }
}

std::string label_column(const Dataset& dataset, const std::string& wanted) {
  const std::string name = wanted.empty() ? dataset.label_column : wanted;
  if (name.empty() && dataset.layout == Layout::labels_csv)
    fail("{}: labels.csv has no column 'label'; --label takes another of {}", dataset.root.string(),
         list_some(dataset.columns));
  if (name.empty()) {
    fail("{}: images of this layout ({}) have no labels; see 'cytograd train --help' for the layouts that do",
         dataset.root.string(), layout_name(dataset.layout));
  }
  dataset.require_column(name);
  return name;
}

std::string group_column(const Dataset& dataset, const TrainOptions& options) {
  if (options.group.empty()) return dataset.group_column;
  dataset.require_column(options.group);
  return options.group;
}

std::vector<std::string> sample_names(const Dataset& dataset, const std::vector<int64_t>& samples) {
  std::vector<std::string> names;
  for (const int64_t sample : samples) names.push_back(dataset.samples[static_cast<size_t>(sample)].name);
  return names;
}

using SamplesByName = std::map<std::string_view, const Sample*>;

/// All that the dataset names, be they there or not.
SamplesByName named_samples(const Dataset& dataset) {
  SamplesByName result;
  for (const auto* samples : {&dataset.samples, &dataset.incomplete}) {
    for (const Sample& sample : *samples) result.emplace(sample.name, &sample);
  }
  return result;
}

std::string images_fingerprint(const Dataset& dataset, const std::string& label_column) {
  const size_t label = dataset.require_column(label_column);
  std::vector<std::string> texts;
  for (const auto& [name, sample] : named_samples(dataset)) {
    texts.emplace_back(name);
    texts.push_back(sample->values[label]);
  }
  return fingerprint(texts);
}

/// Of whole groups their names: an image of theirs that is lost for a while is no other split.
std::string validation_fingerprint(const Dataset& dataset, const std::string& group_column,
                                   const Split& split) {
  if (split.held_out_groups.empty()) return fingerprint(sample_names(dataset, split.validation));
  std::vector<std::string> texts{group_column};
  texts.insert(texts.end(), split.held_out_groups.begin(), split.held_out_groups.end());
  return fingerprint(texts);
}

/// Of the columns that decide which images are held out, left out of training or drawn together, and of `more` columns.
std::string groups_fingerprint(const Dataset& dataset, const SamplesByName& samples,
                               std::vector<std::string> more) {
  for (const std::string& name :
       {dataset.group_column, std::string("split"), std::string("experiment"), std::string("plate"),
        std::string("experiment_plate"), std::string("well"), std::string("site")})
    more.push_back(name);
  std::vector<std::string> texts;
  std::vector<size_t> columns;
  for (const std::string& name : more) {
    const auto column = dataset.column(name);
    if (!column) continue;
    texts.push_back(name);
    columns.push_back(*column);
  }
  for (const auto& [name, sample] : samples) {
    texts.emplace_back(name);
    for (const size_t column : columns) texts.push_back(sample->values[column]);
  }
  return fingerprint(texts);
}

/// A dataset's own split, or the folder of --val, may part a group's images, which flatters the accuracy; it is taken
/// as it is, and this is said.
void warn_of_straddling_groups(const Dataset& dataset, const std::vector<int64_t>& train,
                               const Dataset& validation_dataset, const std::vector<int64_t>& validation,
                               const std::string& column) {
  const std::vector<std::string> groups = group_names(dataset, column, train);
  const std::set<std::string> trained(groups.begin(), groups.end());
  std::set<std::string, NaturalLess> both;
  for (const std::string& group : group_names(validation_dataset, column, validation)) {
    if (!group.empty() && trained.contains(group)) both.insert(group);
  }
  if (both.empty()) return;
  say(fmt::format("warning: {}: images of one {} are in both train and val, which flatters the accuracy: {}",
                  validation_dataset.root.string(), column, list_some(both, 5)));
}

/// 'EMPTY' and 'Empty ' are one treatment to whoever typed them, and two classes.
void warn_of_alike_classes(const Dataset& dataset, const std::vector<std::string>& classes) {
  std::map<std::string, std::string> seen;
  for (const std::string& name : classes) {
    std::string plain;
    for (const char c : name) {
      const bool is_blank = c == ' ' || c == '\t';
      if (!is_blank)
        plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      else if (!plain.empty() && plain.back() != ' ')
        plain += ' ';
    }
    if (plain.ends_with(' ')) plain.pop_back();
    const auto [same, is_new] = seen.emplace(plain, name);
    if (!is_new)
      say(fmt::format("warning: {}: the classes '{}' and '{}' differ in blanks or upper case alone",
                      dataset.root.string(), same->second, name));
  }
}

Split split_by_own_column(const Dataset& dataset) {
  const size_t column = *dataset.column("split");
  Split split;
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    const std::string& value = dataset.samples[i].values[column];
    (is_split(value, "val") ? split.validation : split.train).push_back(static_cast<int64_t>(i));
  }
  if (split.train.empty()) fail("{}: the split 'train' has no image", dataset.root.string());
  return split;
}

bool has_own_validation(const Dataset& dataset) {
  const auto column = dataset.column("split");
  return column && std::any_of(dataset.samples.begin(), dataset.samples.end(),
                               [&](const Sample& sample) { return is_split(sample.values[*column], "val"); });
}

Split draw_split(const Dataset& dataset, const Classes& classes, const TrainOptions& options,
                 const std::string& groups) {
  if (!options.val_group.empty()) {
    if (groups.empty()) fail("--val-group: the dataset has no groups; name their column with --group");
    return split_by_groups(dataset, groups, options.val_group);
  }
  return split_by_fraction(dataset, classes,
                           {.fraction = options.val_fraction, .column = groups, .seed = options.seed});
}

std::vector<int64_t> labels_of(const std::vector<int64_t>& all, const std::vector<int64_t>& samples) {
  std::vector<int64_t> labels;
  labels.reserve(samples.size());
  for (const int64_t sample : samples) labels.push_back(all[static_cast<size_t>(sample)]);
  return labels;
}

/// Leaves out of training what shows a well that is validated on, and says so: a dataset's own split, or the folder of
/// --val, may part the sites of a well.
void drop_validated_wells(const Dataset& dataset, std::vector<int64_t>& train,
                          const Dataset& validation_dataset, const std::vector<int64_t>& validation) {
  const bool is_one = &dataset == &validation_dataset;
  const Dataset* const beside = is_one ? nullptr : &validation_dataset;
  const std::vector<std::string> ours = well_keys(dataset, beside);
  const std::vector<std::string> theirs = is_one ? ours : well_keys(validation_dataset, &dataset);
  if (ours.empty() || theirs.empty()) return;
  std::set<std::string> validated;
  for (const int64_t sample : validation) validated.insert(theirs[static_cast<size_t>(sample)]);
  const auto is_validated = [&](int64_t sample) {
    return validated.contains(ours[static_cast<size_t>(sample)]);
  };
  if (may_share_wells(dataset, beside)) {
    const auto same = std::count_if(train.begin(), train.end(), is_validated);
    if (same > 0)
      say(fmt::format(
          "note: {}: {} training images are of wells called as some that are validated on; they are taken for "
          "wells of other plates, which a column 'plate' or 'group' would tell apart",
          dataset.root.string(), same));
    return;
  }
  const size_t dropped = std::erase_if(train, is_validated);
  if (dropped == 0) return;
  if (train.empty())
    fail(
        "{}: each training image is of a well that is validated on; hold out whole wells, plates or experiments",
        dataset.root.string());
  say(fmt::format("{}: {} training images are left out, since other images of their wells are validated on",
                  dataset.root.string(), dropped));
}

/// Leaves out the images that are alone in their domain: a batch of one has no statistics.
void drop_lone_images(TrainingData& data, const std::string& sampler) {
  std::map<int64_t, int64_t> sizes;
  for (const int64_t domain : data.train_domains) ++sizes[domain];
  size_t kept = 0;
  for (size_t i = 0; i < data.train.size(); ++i) {
    if (sizes[data.train_domains[i]] == 1) continue;
    data.train[kept] = data.train[i];
    data.train_labels[kept] = data.train_labels[i];
    data.train_domains[kept++] = data.train_domains[i];
  }
  const size_t lone = data.train.size() - kept;
  if (lone == 0) return;
  const std::string& folder = data.images->dataset.root.string();
  if (kept == 0)
    fail(
        "{}: each training image is the only one of its {}, and a batch of one has no statistics; use another "
        "--sampler",
        folder, sampler);
  say(fmt::format("{}: {} training images are left out, each the only one of its {}", folder, lone, sampler));
  for (auto* values : {&data.train, &data.train_labels, &data.train_domains}) values->resize(kept);
}

void require_one_validation(const TrainOptions& options) {
  if (options.val.empty()) return;
  if (!options.val_group.empty())
    fail("--val and --val-group both say which images to validate on; give one of them");
  std::error_code ignored;
  if (std::filesystem::equivalent(options.val, options.data, ignored))
    fail(
        "--val {} is the folder of --data, whose images are trained on; leave --val out to hold a part of "
        "them out",
        options.val);
}

/// A part of the dataset is validated on: the split val that it has, or what is drawn.
Split hold_out(TrainingData& result, const Dataset& dataset, const Classes& classes,
               const TrainOptions& options) {
  result.own_split = options.val_group.empty() && has_own_validation(dataset);
  if (result.own_split && options.val_fraction != TrainOptions().val_fraction)
    say(fmt::format(
        "note: {} has images of the split val, which are validated on; --val-fraction is not used",
        options.data));
  Split split = result.own_split ? split_by_own_column(dataset)
                                 : draw_split(dataset, classes, options, result.group_column);
  result.held_out_groups = split.held_out_groups;
  result.validation_fingerprint = validation_fingerprint(dataset, result.group_column, split);
  if (result.own_split) {
    drop_validated_wells(dataset, split.train, dataset, split.validation);
    warn_of_straddling_groups(dataset, split.train, dataset, split.validation, result.group_column);
  }
  return split;
}

/// What is trained on where --val names the validation images.
std::vector<int64_t> all_but_val(const Dataset& dataset, const TrainOptions& options) {
  if (has_own_validation(dataset) && !filtered_by_user(options, "split")) {
    Split own = split_by_own_column(dataset);
    say(fmt::format("{}: {} images of the split val are left out, since --val names others", options.data,
                    own.validation.size()));
    return std::move(own.train);
  }
  return all_samples(dataset);
}

/// The images of --val, whose wells leave `train`.
void load_validation(TrainingData& result, std::vector<int64_t>& train, const TrainOptions& options) {
  Dataset validation = open_filtered(options.val, options.where);
  if (validation.white && *validation.white != options.white)
    fail("{}: was packed with --white {}, but the training images have {}", options.val, *validation.white,
         options.white);
  apply_default_filters(validation, options, result.label_column, false);
  const std::vector<int64_t> labels = label_samples(validation, result.label_column, result.classes);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0) result.validation.push_back(static_cast<int64_t>(i));
  }
  result.validation_fingerprint = fingerprint(sample_names(validation, result.validation));
  SamplesByName validated;
  for (const int64_t i : result.validation) {
    const Sample& sample = validation.samples[static_cast<size_t>(i)];
    validated.emplace(sample.name, &sample);
  }
  result.groups_fingerprint =
      fingerprint({result.groups_fingerprint,
                   groups_fingerprint(validation, validated, {result.group_column, result.label_column})});
  drop_validated_wells(result.images->dataset, train, validation, result.validation);
  warn_of_straddling_groups(result.images->dataset, train, validation, result.validation,
                            result.group_column);
  warn_of_dim_images(validation, options.white);
  const std::vector<std::string> domains = adaptation_keys(validation, options);
  result.validation_images = load_images(std::move(validation), options, Use::training);
  result.validation_labels = labels_of(labels, result.validation);
  result.validation_domains =
      number_keys(result.validation_images->dataset, options.adaptation(), domains, result.validation);
  const int64_t ours = result.images->store->reference().channels;
  const int64_t theirs = result.validation_images->store->reference().channels;
  if (ours != theirs)
    fail("{}: images of {} channels, but {} has {}", options.val, theirs, options.data, ours);
}

}  // namespace

void apply_default_filters(Dataset& dataset, const TrainOptions& options, const std::string& label,
                           bool training) {
  if (label == "sirna" && !filtered_by_user(options, "well_type")) {
    keep_existing(dataset, "well_type", [](const std::string& value) { return value == "treatment"; });
  }
  if (training && !filtered_by_user(options, "split")) keep_existing(dataset, "split", is_train_or_val);
}

TrainingData load_training_data(const TrainOptions& asked) {
  TrainOptions options = asked;
  require_one_validation(options);
  TrainingData result;
  Dataset dataset = open_filtered(options.data, options.where);
  options.white = result.white = resolve_white(dataset, options.white);
  result.label_column = label_column(dataset, options.label);
  apply_default_filters(dataset, options, result.label_column, true);
  result.group_column = group_column(dataset, options);
  check_missing(dataset, options.max_missing);  // before what is left of it is found to be too little
  warn_of_dim_images(dataset, options.white);
  result.images_fingerprint = images_fingerprint(dataset, result.label_column);
  result.groups_fingerprint = groups_fingerprint(dataset, named_samples(dataset), {result.group_column});
  const Classes classes = index_classes(dataset, result.label_column);
  result.classes = classes.names;
  warn_of_alike_classes(dataset, classes.names);

  Split split;
  if (options.val.empty()) {
    split = hold_out(result, dataset, classes, options);
    const std::vector<std::string> domains = adaptation_keys(dataset, options);
    result.images = load_images(std::move(dataset), options, Use::training);
    result.validation = std::move(split.validation);
    result.validation_labels = labels_of(classes.of_sample, result.validation);
    result.validation_domains =
        number_keys(result.images->dataset, options.adaptation(), domains, result.validation);
  } else {
    split.train = all_but_val(dataset, options);
    result.images = load_images(std::move(dataset), options, Use::training);
    load_validation(result, split.train, options);
  }
  // With those that cannot be read, which a cache knows by now and a loader meets later: batches are drawn of as many.
  result.train = std::move(split.train);
  result.train_labels = labels_of(classes.of_sample, result.train);
  if (options.sampler != "random") {
    const Dataset& all = result.images->dataset;
    result.train_domains = number_keys(all, options.sampler, domain_keys(all, options.sampler), result.train);
    if (!result.train.empty()) drop_lone_images(result, options.sampler);
  }
  if (result.images->readable(result.train).empty()) fail("{}: no training image can be read", options.data);
  if (result.validation_data().readable(result.validation).empty()) fail("no validation image can be read");
  return result;
}

EvaluationImages validation_images(TrainingData& data, const TrainOptions& options, Device device) {
  return {.store = *data.validation_data().store,
          .samples = data.validation,
          .labels = data.validation_labels,
          .loader = evaluation_loader_options(options, device),
          .domains = data.validation_domains};
}

std::vector<std::string> group_names(const Dataset& dataset, const std::string& column,
                                     const std::vector<int64_t>& samples) {
  std::vector<std::string> names;
  const auto index = dataset.column(column);
  if (column.empty() || !index) return names;
  names.reserve(samples.size());
  for (const int64_t sample : samples)
    names.push_back(dataset.samples[static_cast<size_t>(sample)].values[*index]);
  return names;
}

std::vector<int64_t> label_samples(const Dataset& dataset, const std::string& column,
                                   const std::vector<std::string>& classes) {
  std::map<std::string, int64_t> index;
  for (size_t i = 0; i < classes.size(); ++i) index[classes[i]] = static_cast<int64_t>(i);
  const size_t at = dataset.require_column(column);
  std::vector<int64_t> labels;
  labels.reserve(dataset.samples.size());
  std::set<std::string, NaturalLess> unknown;
  const Sample* first = nullptr;  // with one of those
  int64_t count = 0;
  for (const Sample& sample : dataset.samples) {
    const std::string& label = sample.values[at];
    const auto found = index.find(label);
    labels.push_back(found == index.end() ? -1 : found->second);
    if (label.empty() || found != index.end()) continue;
    if (first == nullptr) first = &sample;
    unknown.insert(label);
    ++count;
  }
  if (first == nullptr) return labels;
  fail(
      "{}: image {} has the label '{}', which is no class of the model; {} of {} images have such labels ({}); "
      "--where {}=LABEL,... keeps others",
      dataset.root.string(), first->name, first->values[at], count, dataset.samples.size(),
      list_some(unknown, 5), column);
}

}  // namespace cytograd
