#include "tools/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_set>

#include "data/csv.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/parse_number.h"

namespace cytograd {
namespace {

struct Column {
  std::string_view name;
  double EpochMetrics::*value;
};
constexpr std::array<Column, 9> kColumns{{{"train_loss", &EpochMetrics::train_loss},
                                          {"train_accuracy", &EpochMetrics::train_accuracy},
                                          {"val_loss", &EpochMetrics::val_loss},
                                          {"val_accuracy", &EpochMetrics::val_accuracy},
                                          {"val_macro_accuracy", &EpochMetrics::val_macro_accuracy},
                                          {"learning_rate", &EpochMetrics::learning_rate},
                                          {"images_per_second", &EpochMetrics::images_per_second},
                                          {"stall_seconds", &EpochMetrics::stall_seconds},
                                          {"stall_seconds_per_step", &EpochMetrics::stall_seconds_per_step}}};

template <typename T>
T require_number(const std::string& text, const std::string& place) {
  const auto value = parse_number<T>(text);
  if (!value) fail("{}: '{}' is not a number", place, text);
  return *value;
}

}  // namespace

std::string format_metrics(const std::vector<EpochMetrics>& rows, int digits) {
  std::string text = "epoch";
  for (const Column& column : kColumns) text += fmt::format(",{}", column.name);
  text += '\n';
  for (const EpochMetrics& row : rows) {
    text += fmt::format("{}", row.epoch);
    for (const Column& column : kColumns) text += fmt::format(",{:.{}g}", row.*column.value, digits);
    text += '\n';
  }
  return text;
}

std::vector<EpochMetrics> parse_metrics(const std::string& text, const std::string& source) {
  const CsvTable table = parse_csv(text, source);
  std::vector<EpochMetrics> rows;
  const size_t epoch = table.require_column("epoch");
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const std::vector<std::string>& fields = table.rows[i];
    EpochMetrics metrics;
    metrics.epoch = require_number<int64_t>(fields[epoch], table.place(i));
    for (const Column& column : kColumns) {
      metrics.*column.value =
          require_number<double>(fields[table.require_column(column.name)], table.place(i));
    }
    rows.push_back(metrics);
  }
  return rows;
}

void RunFolder::require_writable() const {
  std::error_code ignored;
  std::filesystem::path there = std::filesystem::absolute(path_);
  while (there.has_relative_path() && !std::filesystem::exists(there, ignored)) there = there.parent_path();
  if (!std::filesystem::is_directory(there, ignored))
    fail("{}: the run folder cannot be made: {} is not a folder", path_.string(), there.string());
  if (access(there.c_str(), W_OK | X_OK) != 0)
    fail("{}: the run folder cannot be written: {}: {}", path_.string(), there.string(),
         std::strerror(errno));
}

void RunFolder::lock() { lock_ = std::make_shared<FolderLock>(path_, "training into this folder"); }

void RunFolder::require_held() const {
  if (lock_) lock_->require_held();
}

void RunFolder::remove_leftovers() const {
  const auto files = {config(), classes(), colormap(), pca(), metrics(), best(), last()};
  cytograd::remove_leftovers(path_, [&](const std::string& name) {
    return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.filename() == name; });
  });
}

void RunFolder::write_classes(const std::vector<std::string>& names) const {
  std::string text = "index,name\n";
  for (size_t i = 0; i < names.size(); ++i) text += fmt::format("{},{}\n", i, csv_field(names[i]));
  write_text_file(classes(), text);
}

std::vector<std::string> RunFolder::read_classes() const {
  const CsvTable table = read_csv(classes());
  const size_t index = table.require_column("index");
  const size_t name = table.require_column("name");
  std::vector<std::string> names;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const std::vector<std::string>& fields = table.rows[i];
    if (require_number<size_t>(fields[index], table.place(i)) != i) {
      fail("{}: expected class {}, found '{}'", table.place(i), i, fields[index]);
    }
    if (!seen.insert(fields[name]).second)
      fail("{}: the class '{}' occurs twice", table.place(i), fields[name]);
    names.push_back(fields[name]);
  }
  if (names.empty()) fail("{}: there are no classes", classes().string());
  return names;
}

}  // namespace cytograd
