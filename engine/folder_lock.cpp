#include "engine/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/check.h"

namespace cytograd {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> make_folders(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> made;
  for (fs::path missing = fs::absolute(folder); !fs::exists(missing, error);
       missing = missing.parent_path()) {
    const bool is_itself = missing.has_filename() && missing.filename() != ".";  // "run/" and "run/." are not
    if (is_itself) made.push_back(missing);
  }
  fs::create_directories(folder, error);
  if (error) fail("{}: the folder cannot be made: {}", folder.string(), error.message());
  return made;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, std::string_view work)
    : folder_(folder),
      work_(work),
      made_(make_folders(folder)),
      descriptor_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail("{}: the folder cannot be opened: {}", folder.string(), std::strerror(errno));
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(descriptor_);
  fail("{}: another process is {}; wait for it or name another --out", folder.string(), work);
}

bool FolderLock::is_held() const {
  struct stat held {
  }, there{};
  return fstat(descriptor_, &held) == 0 && stat(folder_.c_str(), &there) == 0 &&
         held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

void FolderLock::require_held() const {
  if (is_held()) return;
  fail("{}: the folder has been removed, moved or replaced while a process was {}", folder_.string(), work_);
}

FolderLock::~FolderLock() {
  const bool is_ours = is_held();  // or what took its place would go
  for (const fs::path& folder : made_) {
    if (!is_ours) break;
    if (rmdir(folder.c_str()) != 0) break;  // there is something in it
  }
  close(descriptor_);
}

void remove_leftovers(const fs::path& folder, const std::function<bool(const std::string& name)>& is_ours) {
  std::error_code error;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const size_t mark = name.rfind(".tmp.");  // as AtomicFile calls them
    if (mark != std::string::npos && is_ours(name.substr(0, mark))) found.push_back(entry.path());
  }
  for (const fs::path& file : found) fs::remove(file, error);
}

}  // namespace cytograd
