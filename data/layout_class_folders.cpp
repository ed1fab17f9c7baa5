// One folder a class, the files in it or in folders in it; or folders train, val and test of that form.
#include <algorithm>
#include <map>
#include <set>

#include "data/layouts.h"
#include "data/list_some.h"
#include "data/natural_order.h"
#include "engine/check.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

namespace {

struct ClassImage {
  std::string folder;  ///< in the class folder; "" where the image lies in that itself
  std::string file;

  std::string path() const { return folder.empty() ? file : folder + "/" + file; }
};

/// The images in a class folder and in the folders in it.
std::vector<ClassImage> images_of_class(const fs::path& folder) {
  const FolderContent content = list_folder(folder);
  std::vector<ClassImage> images;
  for (const std::string& file : content.images) images.push_back({"", file});
  std::error_code ignored;
  const fs::path real = fs::canonical(folder, ignored);
  for (const std::string& inner : content.folders) {
    if (fs::is_symlink(folder / inner, ignored)) {  // into the class itself: its images are there already
      const fs::path target = fs::canonical(folder / inner, ignored);
      const bool is_listed = std::find(content.folders.begin(), content.folders.end(),
                                       target.filename().string()) != content.folders.end();
      if (target == real || (target.parent_path() == real && is_listed)) continue;
    }
    const FolderContent nested = list_folder(folder / inner);
    for (const std::string& file : nested.images) images.push_back({inner, file});
  }
  return images;
}

/// Whether the root's folders are train, val and test, with the class folders inside.
bool has_splits(const FolderContent& content) {
  return !content.folders.empty() &&
         std::all_of(content.folders.begin(), content.folders.end(), is_split_folder);
}

/// Folders named as RxRx1's plates are no classes: their tables are missing.
bool looks_like_plate(const fs::path& folder) {
  const std::vector<std::string> inner = list_folder(folder).folders;
  return !inner.empty() && std::all_of(inner.begin(), inner.end(),
                                       [](const std::string& name) { return name.starts_with("Plate"); });
}

/// Folders of plates in class folders recur in every class; so do class folders in folders of plates.
void tell_of_recurring_folders(DatasetBuilder& builder, const fs::path& root,
                               const std::vector<Sample>& samples) {
  std::map<std::string, std::set<std::string>, NaturalLess> classes_of;  // each folder in class folders
  for (const Sample& sample : samples)
    if (!sample.values[1].empty()) classes_of[sample.values[1]].insert(sample.values[0]);
  std::vector<std::string> recurring;
  std::set<std::string, NaturalLess> classes;
  for (const auto& [folder, in] : classes_of) {
    if (in.size() < 2) continue;
    recurring.push_back(folder);
    classes.insert(in.begin(), in.end());
  }
  if (recurring.empty()) return;
  builder.warnings.push_back(fmt::format(
      "{}: the classes are {}; the folders {} in them are no classes, but the column 'folder', such as for --group",
      root.string(), list_some(classes, 5), list_some(recurring, 5)));
}

/// Adds to `samples`, whose values are label, folder and, where there are splits, split.
void add_classes(DatasetBuilder& builder, std::vector<Sample>& samples, const fs::path& root,
                 const std::string& split) {
  const fs::path base = root / split;
  const std::string prefix = split.empty() ? "" : split + "/";
  const FolderContent content = list_folder(base);
  if (!content.images.empty())
    fail(
        "{}: images lie beside folders of images; expected one folder a class and no image outside, such as "
        "{}",
        base.string(), content.images[0]);
  for (const std::string& name : content.folders) {
    const std::vector<ClassImage> images = images_of_class(base / name);
    if (images.empty())
      builder.warnings.push_back((base / name).string() +
                                 ": holds no PNG, JPEG, BMP or TIFF image, so there is no class of it");
    for (const ClassImage& image : images) {
      Sample sample{prefix + name + "/" + image.path(), {base / name / image.path()}, {name, image.folder}};
      if (!split.empty()) sample.values.push_back(split);
      samples.push_back(std::move(sample));
    }
  }
}

}  // namespace

bool is_class_folders(const fs::path& root) {
  const FolderContent content = list_folder(root);
  const auto has_classes = [](const fs::path& base, const std::vector<std::string>& folders) {
    return std::any_of(folders.begin(), folders.end(), [&](const std::string& name) {
      return !looks_like_plate(base / name) && !images_of_class(base / name).empty();
    });
  };
  if (!has_splits(content)) return has_classes(root, content.folders);
  return std::any_of(content.folders.begin(), content.folders.end(), [&](const std::string& split) {
    return has_classes(root / split, list_folder(root / split).folders);
  });
}

Dataset open_class_folders(const fs::path& root) {
  DatasetBuilder builder(root, Layout::class_folders);
  builder.label_column = "label";
  builder.columns = {"label", "folder"};
  std::vector<Sample> samples;
  const FolderContent content = list_folder(root);
  if (has_splits(content)) {
    builder.columns.emplace_back("split");
    for (const std::string& split : content.folders) add_classes(builder, samples, root, split);
  } else {
    add_classes(builder, samples, root, "");
  }
  tell_of_recurring_folders(builder, root, samples);
  const bool has_folders = std::any_of(samples.begin(), samples.end(),
                                       [](const Sample& sample) { return !sample.values[1].empty(); });
  if (!has_folders) builder.columns.erase(builder.columns.begin() + 1);
  for (Sample& sample : samples) {
    if (!has_folders) sample.values.erase(sample.values.begin() + 1);
    builder.add(std::move(sample));
  }
  return builder.finish();
}

}  // namespace cytograd::layouts
