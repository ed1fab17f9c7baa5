// Images beside a labels.csv with the columns image, label and any others; or folders train, val and test of
// that form. `image` may name several grey files, one a channel, with ';' between them.
#include <algorithm>
#include <set>
#include <string_view>

#include "data/layouts.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/op_options.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

namespace {

struct Part {
  std::string prefix;  // "train/", or "" where the root itself has the labels.csv
  CsvTable table;
};

/// The files that the field `image` names, relative to the folder of images.
std::vector<fs::path> image_files(const CsvTable& table, size_t row, const std::string& image) {
  const auto count = 1 + std::count(image.begin(), image.end(), ';');
  if (count > PreprocessOptions::kMaxChannels)
    fail("{}: an image of {} files, one a channel; up to {} can be", table.place(row), count,
         PreprocessOptions::kMaxChannels);
  std::vector<fs::path> files;
  for (size_t start = 0; start <= image.size();) {
    const size_t end = std::min(image.find(';', start), image.size());
    const std::string name = image.substr(start, end - start);
    const fs::path file = fs::path(name).lexically_normal();
    if (!file.has_filename() || file == ".") fail("{}: '{}' names no image", table.place(row), image);
    if (file.is_absolute() || *file.begin() == "..")
      fail("{}: the image '{}' is outside of the dataset; paths are relative to images/ or to the CSV",
           table.place(row), name);
    files.push_back(file);
    start = end + 1;
  }
  return files;
}

/// The files without their order: channels in another order are the same image.
std::string sorted_names(std::vector<std::string> files) {
  std::sort(files.begin(), files.end());
  return fmt::format("{}", fmt::join(files, "\n"));
}

/// A file for two channels is a slip, unless it is for all of them: a grey one for a network that reads colours.
void require_own_files(const std::vector<std::string>& files, const std::string& place,
                       const std::string& image) {
  const std::set<std::string_view> distinct(files.begin(), files.end());
  if (distinct.size() < files.size() && distinct.size() > 1)
    fail("{}: '{}' has one file for two of its channels, and others for the rest", place, image);
}

void add_rows(DatasetBuilder& builder, FolderIndex& index, const Part& part, const fs::path& folder) {
  const CsvTable& table = part.table;
  const size_t image = table.require_column("image");
  const fs::path images = index.has_folder(folder / "images") ? folder / "images" : folder;
  std::vector<std::optional<size_t>> sources;
  for (const std::string& column : builder.columns) sources.push_back(table.column(column));

  std::unordered_map<std::string, size_t> rows;  // of the files: "./a.png" is "a.png"
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& fields = table.rows[row];
    const bool is_blank =
        std::all_of(fields.begin(), fields.end(), [](const std::string& field) { return field.empty(); });
    if (is_blank) continue;  // a spreadsheet's last rows, emptied
    std::vector<std::string> files;
    Sample sample{part.prefix + fields[image], {}, {}};
    DatasetBuilder::Missing missing;
    for (const fs::path& file : image_files(table, row, fields[image])) {
      const fs::path in_images = images / file, beside = folder / file;
      const auto is_there = [&](const fs::path& candidate) {
        return index.files(candidate.parent_path()).contains(candidate.filename().string());
      };
      if (is_there(in_images))
        sample.files.push_back(in_images.string());
      else if (is_there(beside))
        sample.files.push_back(beside.string());
      else
        missing.emplace_back(in_images, "no such file");
      files.push_back(missing.empty() ? sample.files.back() : in_images.string());
    }
    require_own_files(files, table.place(row), fields[image]);
    const auto [same, is_new] = rows.emplace(sorted_names(std::move(files)), row);
    if (!is_new)
      fail("{}: '{}' is there already, at {}", table.place(row), fields[image], table.place(same->second));
    for (size_t c = 0; c < sources.size(); ++c)
      sample.values.push_back(sources[c] ? fields[*sources[c]] : "");
    if (!part.prefix.empty()) sample.values.back() = part.prefix.substr(0, part.prefix.size() - 1);
    builder.add(std::move(sample), table, row, std::move(missing));
  }
}

std::vector<std::string> split_folders(const fs::path& root) {
  std::vector<std::string> found;
  const std::vector<std::string> folders = list_folder(root).folders;
  for (const std::string_view split : {"train", "val", "test"})
    for (const std::string& folder : folders)
      if (is_split(folder, split) && file_exists(root / folder / "labels.csv")) found.push_back(folder);
  return found;
}

}  // namespace

bool is_labels_csv(const fs::path& root) {
  return file_exists(root / "labels.csv") || !split_folders(root).empty();
}

Dataset open_labels_csv(const fs::path& root) {
  DatasetBuilder builder(root, Layout::labels_csv);
  std::vector<Part> parts;
  if (file_exists(root / "labels.csv"))
    parts.push_back({"", read_csv(root / "labels.csv")});
  else
    for (const std::string& split : split_folders(root))
      parts.push_back({split + "/", read_csv(root / split / "labels.csv")});

  const auto has = [&](std::string_view name) {
    return std::find(builder.columns.begin(), builder.columns.end(), name) != builder.columns.end();
  };
  for (const Part& part : parts) {
    if (!part.prefix.empty() && part.table.column("split"))
      fail("{}: has a column split, but its folder tells the split; remove the column",
           part.table.file.string());
    for (const std::string& column : part.table.columns)
      if (!has(column)) builder.columns.push_back(column);
  }
  if (has("label")) {
    builder.label_column = "label";
    for (const Part& part : parts) part.table.require_columns({"label"});
  }
  if (has("group")) builder.group_column = "group";
  if (!parts[0].prefix.empty()) builder.columns.emplace_back("split");  // Last: add_rows fills it in.

  FolderIndex index;
  for (const Part& part : parts) add_rows(builder, index, part, root / part.prefix);
  return builder.finish();
}

}  // namespace cytograd::layouts
