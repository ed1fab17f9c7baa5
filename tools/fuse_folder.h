// The folder that `cytograd fuse` writes into: its files, and whether it may.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace cytograd {

/// What the pictures of a folder were made with, as its fuse.json has it.
struct FuseRecord {
  std::string method;
  std::string fingerprint;  ///< of the images and all settings

  bool operator==(const FuseRecord&) const = default;
};

class FuseFolder {
 public:
  explicit FuseFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path images() const { return path_ / "images"; }
  std::filesystem::path labels() const { return path_ / "labels.csv"; }
  /// Images that were not there or unreadable.
  std::filesystem::path missing() const { return path_ / "missing.csv"; }
  std::filesystem::path pca() const { return path_ / "pca.json"; }           ///< components by scope
  std::filesystem::path colormap() const { return path_ / "colormap.csv"; }  ///< the colours
  std::filesystem::path record() const { return path_ / "fuse.json"; }       ///< a FuseRecord

  /// Throws Error where the folder holds anything and no fuse.json says that `cytograd fuse` began it.
  /// `preview`, which may be "", is a file of the same command and may lie in it.
  void require_own(const std::filesystem::path& preview) const;

  /// Begins the pictures of `record`, or goes on with them. A folder without any picture, as a command leaves
  /// it that failed by its settings, is begun anew. Throws Error where there are pictures of another record.
  /// For the one that holds the lock.
  void begin(const FuseRecord& record) const;

  bool has_pictures() const;

 private:
  /// Nothing where there is none, or the file of that name is of something else. Throws Error where it is
  /// damaged.
  std::optional<FuseRecord> read_record() const;

  std::filesystem::path path_;
};

}  // namespace cytograd
