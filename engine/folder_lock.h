// One process at a time in a folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

/// Makes a folder and keeps other processes from working in it. Needs no file; the system drops it with the process.
class FolderLock {
 public:
  /// `work` is what errors call it: "training into this folder". Throws Error where the folder cannot be made, or
  /// another process has it. Without locks in the file system, it only makes the folder.
  FolderLock(const std::filesystem::path& folder, std::string_view work);
  /// Removes the folders that it made, where nothing came to be in them.
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Throws Error where the folder has been removed, moved or replaced: its path is another's now. To be asked before
  /// anything is written there.
  void require_held() const;

 private:
  bool is_held() const;

  std::filesystem::path folder_;
  std::string work_;
  std::vector<std::filesystem::path> made_;  // the innermost first
  int descriptor_ = -1;
};

/// Removes from the folder what a killed process left half-written of those files that `is_ours` names. For the one
/// that holds the lock.
void remove_leftovers(const std::filesystem::path& folder,
                      const std::function<bool(const std::string& name)>& is_ours);

}  // namespace cytograd
