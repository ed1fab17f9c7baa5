#include "tools/fuse_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/text_file.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/folder_lock.h"

namespace cytograd {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

void FuseFolder::require_own(const fs::path& preview) const {
  if (read_record() || !folder_exists(path_)) return;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    // fuse.json is written first, so a command that was killed before has left nothing but a part of it.
    if (name.starts_with("fuse.json.tmp.") || fs::equivalent(entry.path(), preview, ignored)) continue;
    fail("{}: holds other files, such as {}; name a folder of its own for the pictures", path_.string(),
         name);
  }
}

void FuseFolder::begin(const FuseRecord& record) const {
  const auto tables = {labels(), missing(), pca(), colormap()};
  remove_leftovers(path_, [&](const std::string& name) {
    return path_ / name == this->record() ||
           std::find(tables.begin(), tables.end(), path_ / name) != tables.end();
  });
  const std::optional<FuseRecord> there = read_record();
  if (there && *there != record) {
    if (has_pictures())
      fail(
          "{}: holds pictures of other images, or made with other settings or by an earlier version; name another "
          "--out",
          path_.string());
    std::error_code ignored;
    for (const fs::path& table : tables) fs::remove(table, ignored);
  }
  if (there != record)
    write_text_file(this->record(),
                    Json{{"method", record.method}, {"fingerprint", record.fingerprint}}.dump(1) + "\n");
  fs::create_directories(images());
}

bool FuseFolder::has_pictures() const {
  if (!folder_exists(images())) return false;
  const fs::recursive_directory_iterator entries(images());
  return std::any_of(fs::begin(entries), fs::end(entries), [](const fs::directory_entry& entry) {
    return entry.path().extension() == ".png" && !entry.is_directory();
  });
}

std::optional<FuseRecord> FuseFolder::read_record() const {
  if (!file_exists(record())) return std::nullopt;
  const Json json = Json::parse(read_text_file(record()), nullptr, false);
  if (json.is_discarded())
    fail(
        "{}: is damaged, so nothing tells what the pictures beside it were made with; remove the folder {} "
        "and fuse anew, or name another --out",
        record().string(), path_.string());
  const auto text = [&](const char* key) {
    return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>()
                                                                           : "";
  };
  FuseRecord found{.method = text("method"), .fingerprint = text("fingerprint")};
  if (found.method.empty() || found.fingerprint.empty()) return std::nullopt;
  return found;
}

}  // namespace cytograd
