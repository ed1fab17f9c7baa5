// One folder a class, the files in it or in folders in it; or folders train, val and test of that form.
#include <algorithm>

#include "data/layouts.h"
#include "engine/check.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

namespace {

/// "file.png" and "folder/file.png" below a class folder.
std::vector<std::string> images_of_class(const fs::path& folder) {
  FolderContent content = list_folder(folder);
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
    for (const std::string& image : nested.images) content.images.push_back(inner + "/" + image);
  }
  return content.images;
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

void add_classes(DatasetBuilder& builder, const fs::path& root, const std::string& split) {
  const fs::path base = root / split;
  const std::string prefix = split.empty() ? "" : split + "/";
  const FolderContent content = list_folder(base);
  if (!content.images.empty())
    fail(
        "{}: images lie beside folders of images; expected one folder a class and no image outside, such as "
        "{}",
        base.string(), content.images[0]);
  for (const std::string& name : content.folders) {
    const std::vector<std::string> images = images_of_class(base / name);
    if (images.empty())
      builder.warnings.push_back((base / name).string() +
                                 ": holds no PNG, JPEG, BMP or TIFF image, so there is no class of it");
    for (const std::string& image : images) {
      Sample sample{prefix + name + "/" + image, {base / name / image}, {name}};
      if (!split.empty()) sample.values.push_back(split);
      builder.add(std::move(sample));
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
  builder.columns = {"label"};
  const FolderContent content = list_folder(root);
  if (has_splits(content)) {
    builder.columns.emplace_back("split");
    for (const std::string& split : content.folders) add_classes(builder, root, split);
  } else {
    add_classes(builder, root, "");
  }
  return builder.finish();
}

}  // namespace cytograd::layouts
