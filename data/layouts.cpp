#include "data/layouts.h"

#include <algorithm>
#include <set>

#include "data/image.h"
#include "data/natural_order.h"
#include "data/text_file.h"
#include "engine/check.h"
#include "engine/file_status.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

namespace {

bool is_leftover(const std::string& name) {
  return name.starts_with('.') || name == "__MACOSX" || name == "lost+found";
}

template <typename Visit>
void for_each_entry(const fs::path& folder, const Visit& visit) {
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) visit(*entry);
  if (error) fail("{}: cannot be listed: {}", folder.string(), error.message());
}

/// A folder that may not be looked into, or a link in a circle, has no images for us: they are missing, as others are.
bool is_enterable(const fs::path& folder) {
  std::error_code error;
  const bool is_folder = fs::is_directory(folder, error);
  if (error == std::errc::permission_denied || error == std::errc::too_many_symbolic_link_levels)
    return false;
  return is_folder || folder_exists(folder);  // which tells of any other reason
}

}  // namespace

const FolderIndex::Listing& FolderIndex::list(const fs::path& folder) {
  const auto [found, is_new] = listings_.try_emplace(folder.string());
  Listing& listing = found->second;
  if (!is_new) return listing;
  const fs::path place = folder.empty() ? "." : folder;
  listing.exists = is_enterable(place);
  if (listing.exists)
    for_each_entry(place, [&](const fs::directory_entry& entry) {
      std::error_code error;
      if (!entry.is_directory(error)) listing.names.insert(entry.path().filename().string());
    });
  return listing;
}

DatasetBuilder::DatasetBuilder(const fs::path& root, Layout layout) : root_(root), layout_(layout) {}

void DatasetBuilder::add(Sample sample, const CsvTable& table, size_t row, Missing missing) {
  entries_.push_back({std::move(sample), std::move(missing), table.file.string(), table.lines[row]});
}

void DatasetBuilder::add(Sample sample) { entries_.push_back({std::move(sample), {}, {}, 0}); }

Dataset DatasetBuilder::finish() {
  // Stable: of two rows with one name, the error names the later as the repetition.
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return natural_compare(a.sample.name, b.sample.name) < 0;
  });
  Dataset dataset;
  dataset.root = root_;
  dataset.layout = layout_;
  dataset.columns = columns;
  dataset.label_column = label_column;
  dataset.group_column = group_column;
  dataset.named_samples = static_cast<int64_t>(entries_.size());
  for (size_t i = 0; i + 1 < entries_.size(); ++i) {
    const Entry &first = entries_[i], &second = entries_[i + 1];
    if (first.sample.name == second.sample.name)
      fail("{}:{}: '{}' is there already, at {}:{}", second.table, second.line, second.sample.name,
           first.table, first.line);
  }
  dataset.warnings = warnings;
  std::set<std::string> tables;
  for (Entry& entry : entries_) {
    if (!entry.table.empty()) tables.insert(entry.table);
    CHECK(entry.sample.values.size() == columns.size(), "{} values of {} columns", entry.sample.values.size(),
          columns.size());
    for (auto& [file, reason] : entry.missing)
      dataset.missing.push_back({entry.sample.name, std::move(file), std::move(reason)});
    (entry.missing.empty() ? dataset.samples : dataset.incomplete).push_back(std::move(entry.sample));
  }
  dataset.tables.assign(tables.begin(), tables.end());
  entries_.clear();
  return dataset;
}

FolderContent list_folder(const fs::path& folder) {
  FolderContent content;
  for_each_entry(folder, [&](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    std::error_code error;
    if (is_leftover(name)) return;
    if (entry.is_directory(error))
      content.folders.push_back(name);
    else if (has_image_extension(entry.path()))
      content.images.push_back(name);
  });
  std::sort(content.images.begin(), content.images.end(), NaturalLess());
  std::sort(content.folders.begin(), content.folders.end(), NaturalLess());
  return content;
}

bool is_split_folder(std::string_view name) {
  return is_split(name, "train") || is_split(name, "val") || is_split(name, "test");
}

bool is_table_of(const fs::path& file, std::initializer_list<std::string_view> names) {
  constexpr size_t kHead = 4096;
  if (!file_exists(file)) return false;
  const auto holds_two = [&](const auto& holds) {
    return std::count_if(names.begin(), names.end(), holds) >= 2;
  };
  try {
    const std::vector<std::string> columns = read_csv_columns(file);
    return holds_two([&](std::string_view name) {
      return std::find(columns.begin(), columns.end(), name) != columns.end();
    });
  } catch (const Error&) {
    std::string head = read_text_file(file, kHead);
    std::erase(head, '\0');  // of UTF-16
    head.erase(std::min(head.find('\n'), head.size()));
    if (holds_two([&](std::string_view name) { return head.find(name) != std::string::npos; })) throw;
    return false;
  }
}

}  // namespace cytograd::layouts
