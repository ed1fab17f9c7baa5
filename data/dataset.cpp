#include "data/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <unordered_set>

#include "data/layouts.h"
#include "data/list_some.h"
#include "data/lower_case.h"
#include "data/natural_order.h"
#include "data/pack.h"
#include "engine/check.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

struct LayoutReader {
  Layout layout;
  std::string_view name;
  std::string_view looked_for;
  bool (*is)(const fs::path&);
  Dataset (*open)(const fs::path&);
};

// In this order: what a table names comes before what lies on disk.
constexpr LayoutReader kReaders[] = {
    {Layout::labels_csv, "labels.csv", "labels.csv (image,label[,group]), also in train/, val/ or test/",
     layouts::is_labels_csv, layouts::open_labels_csv},
    {Layout::wilds_rxrx1, "RxRx1-WILDS", "metadata.csv with images/EXPERIMENT/Plate1/WELL_s1.png",
     layouts::is_wilds, layouts::open_wilds},
    {Layout::rxrx_ai, "RxRx1 (rxrx.ai)", "metadata.csv with images/EXPERIMENT/Plate1/WELL_s1_w1.png",
     layouts::is_rxrx_ai, layouts::open_rxrx_ai},
    {Layout::kaggle_rxrx1, "RxRx1 (Kaggle)", "train.csv or test.csv (id_code,experiment,plate,well[,sirna])",
     layouts::is_kaggle, layouts::open_kaggle},
    {Layout::class_folders, "class folders", "one folder of PNG, JPEG, BMP or TIFF images a class",
     layouts::is_class_folders, layouts::open_class_folders},
    {Layout::plain_images, "images", "PNG, JPEG, BMP or TIFF images in the folder itself",
     layouts::is_plain_images, layouts::open_plain_images},
};

}  // namespace

std::optional<size_t> Dataset::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) return std::nullopt;
  return static_cast<size_t>(found - columns.begin());
}

size_t Dataset::require_column(std::string_view name) const {
  if (const std::optional<size_t> found = column(name)) return *found;
  if (columns.empty()) fail("{}: has no column '{}', for its images have no labels", root.string(), name);
  fail("{}: has no column '{}'; it has {}", root.string(), name, fmt::join(columns, ", "));
}

std::string_view layout_name(Layout layout) {
  for (const LayoutReader& reader : kReaders)
    if (reader.layout == layout) return reader.name;
  return "unknown";
}

std::optional<Layout> find_layout(std::string_view name) {
  for (const LayoutReader& reader : kReaders)
    if (reader.name == name) return reader.layout;
  return std::nullopt;
}

bool is_split(std::string_view name, std::string_view split) {
  constexpr std::pair<std::string_view, std::string_view> kMeanings[] = {
      {"train", "train"},    {"training", "train"}, {"val", "val"},     {"valid", "val"},
      {"validation", "val"}, {"test", "test"},      {"testing", "test"}};
  const std::string lower = to_lower(name);
  return std::any_of(std::begin(kMeanings), std::end(kMeanings),
                     [&](const auto& meaning) { return meaning.first == lower && meaning.second == split; });
}

Dataset open_dataset(const fs::path& root) {
  std::error_code error;
  const fs::file_status status = fs::status(root, error);
  if (status.type() == fs::file_type::not_found) fail("{}: no such folder", root.string());
  if (error) fail("{}: cannot be looked at: {}", root.string(), error.message());
  if (!fs::is_directory(status)) fail("{}: is not a folder", root.string());
  if (fs::is_empty(root, error) && !error) fail("{}: is an empty folder", root.string());
  if (error) fail("{}: cannot be listed: {}", root.string(), error.message());
  if (is_pack(root)) return open_pack(root);
  std::vector<std::string_view> looked_for;
  for (const LayoutReader& reader : kReaders) {
    if (reader.is(root)) {
      Dataset dataset = reader.open(root);
      if (dataset.named_samples == 0) fail("{}: its tables name no image", root.string());
      return dataset;
    }
    looked_for.push_back(reader.looked_for);
  }
  looked_for.push_back("pack.json, which 'cytograd pack' writes");
  fail("{}: holds no dataset of a known layout; looked for: {}", root.string(), fmt::join(looked_for, "; "));
}

std::vector<int64_t> all_samples(const Dataset& dataset) {
  std::vector<int64_t> all(dataset.samples.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

void check_missing(const Dataset& dataset, double max_missing) {
  const int64_t lost = dataset.named_samples - static_cast<int64_t>(dataset.samples.size());
  if (static_cast<double>(lost) <= max_missing * static_cast<double>(dataset.named_samples)) return;
  std::vector<std::string> files;
  for (const MissingImage& missing : dataset.missing) {
    const fs::path below = missing.file.lexically_relative(dataset.root);
    const bool outside = below.empty() || *below.begin() == "..";  // the root stands for several folders
    files.push_back(fmt::format("{} ({})", (outside ? missing.file : below).string(), missing.reason));
  }
  fail(
      "{}: {} of {} samples ({:.1f}%) are missing or unreadable, more than the {:g}% allowed; {}; allow more "
      "with "
      "--max-missing or keep a part of the dataset",
      dataset.root.string(), lost, dataset.named_samples,
      100.0 * static_cast<double>(lost) / static_cast<double>(dataset.named_samples), 100.0 * max_missing,
      list_some(files));
}

void keep_where(Dataset& dataset, std::string_view column, const std::vector<std::string>& values) {
  const size_t c = dataset.require_column(column);
  std::set<std::string_view, NaturalLess> there;
  for (const auto* samples : {&dataset.samples, &dataset.incomplete})
    for (const Sample& sample : *samples) there.insert(sample.values[c]);
  for (const std::string& value : values)
    if (!there.contains(value))
      fail("{}: no image has {} '{}'; there are {}", dataset.root.string(), column, value, list_some(there));

  const std::unordered_set<std::string> wanted(values.begin(), values.end());
  const auto is_unwanted = [&](const Sample& sample) { return !wanted.contains(sample.values[c]); };
  std::erase_if(dataset.samples, is_unwanted);
  std::erase_if(dataset.incomplete, is_unwanted);
  std::unordered_set<std::string_view> kept;
  for (const Sample& sample : dataset.incomplete) kept.insert(sample.name);
  std::erase_if(dataset.missing, [&](const MissingImage& missing) { return !kept.contains(missing.sample); });
  dataset.named_samples = static_cast<int64_t>(dataset.samples.size() + dataset.incomplete.size());
}

}  // namespace cytograd
