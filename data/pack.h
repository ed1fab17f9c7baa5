// A packed dataset: every image decoded once, its bytes in safetensors files that are mapped into memory, and tables
// of what they are. docs/layouts.md has the format.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/stored_image.h"
#include "engine/mapped_file.h"

namespace cytograd {

/// Where the parts of a pack lie.
struct PackFiles {
  std::filesystem::path folder;

  /// What there is, with checksums; written last, so that a pack that has it is whole.
  std::filesystem::path description() const { return folder / "pack.json"; }
  std::filesystem::path index() const { return folder / "index.csv"; }  ///< a row an image
  std::filesystem::path missing() const {
    return folder / "missing.csv";
  }                                                                   ///< a row a file that was not there
  std::filesystem::path tables() const { return folder / "tables"; }  ///< the dataset's own CSVs
  std::filesystem::path shard(size_t number) const;                   ///< shard-00000.safetensors, ...
};

/// One image of a pack.
struct PackedImage {
  std::string name = {};
  size_t shard = 0;
  uint64_t offset = 0;  ///< of its first byte, from the start of the shard
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  uint32_t crc32 = 0;
  std::string unreadable = {};  ///< why it has no pixels; "": it has

  uint64_t bytes() const { return static_cast<uint64_t>(height * width * channels); }
};

struct PackShard {
  std::string file;  ///< name in the folder
  uint64_t bytes = 0;
  uint32_t header_crc32 = 0;  ///< of all bytes before the first image's
  uint64_t header_bytes = 0;
};

/// The images of a pack. Thread-safe.
class Pack {
 public:
  /// Maps the shards. Throws Error naming the file where one is absent or has another size than it should have, or an
  /// image does not lie in its shard.
  Pack(PackFiles files, std::vector<PackShard> shards, std::vector<PackedImage> images);

  /// The pixels where they lie in memory; the first time, their checksum is compared. Throws UnskippableError naming
  /// file and place where it differs, Error where the image was unreadable.
  StoredImage read(size_t image) const;
  ImageInfo info(size_t image) const;

  /// Whether the image could not be read when it was packed.
  bool is_unreadable(size_t image) const { return !images_[image].unreadable.empty(); }
  std::span<const PackedImage> images() const { return images_; }
  const std::vector<PackShard>& shards() const { return shards_; }
  const PackFiles& files() const { return files_; }

  /// Compares every shard's header and every image with their checksums. Throws Error naming file and place.
  void verify(int workers, const std::function<void(int64_t images)>& progress) const;

 private:
  void require_readable(size_t image) const;
  void check(size_t image) const;
  void check_header(size_t shard) const;

  PackFiles files_;
  std::vector<PackShard> shards_;
  std::vector<PackedImage> images_;
  std::vector<std::shared_ptr<const MappedFile>> mapped_;  // [shards]
  mutable std::vector<std::atomic<bool>> checked_;         // [images]
};

/// Whether a sample is of a pack and could not be read when it was packed.
inline bool is_packed_unreadable(const Sample& sample) {
  return sample.pack != nullptr && sample.pack->is_unreadable(sample.packed);
}

/// Whether the folder holds a pack, finished or not.
bool is_pack(const std::filesystem::path& folder);

/// Throws Error naming the file, and the line or the bytes, where the pack is not finished, or a table is malformed or
/// does not have its checksum.
Dataset open_pack(const std::filesystem::path& folder);

struct PackOptions {
  std::filesystem::path out = {};
  int workers = 2;
  uint64_t shard_bytes = uint64_t{128} << 20;  ///< a shard is closed once it has as many
  double max_missing = 0.05;                   ///< fraction of images that may be missing or unreadable
  ReadOptions read = {};                       ///< how 16-bit images become the 8 bits that are packed
  std::function<void(int64_t images)> progress = {};
  std::function<void(const std::string& line)> note = {};  ///< takes what a user should know
};

struct PackSummary {
  int64_t images = 0;
  int64_t unreadable = 0;
  int64_t resumed = 0;  ///< images that were packed before
  size_t shards = 0;
  uint64_t bytes = 0;  ///< of all shards
  bool was_whole = false;
};

/// Packs a dataset into a folder of its own, going on where an earlier call was stopped. Holds at most two shards and a
/// few images in memory. Throws Error where the folder holds something else, or the pack of another dataset or of
/// other options, or another process works in it.
PackSummary write_pack(const Dataset& dataset, const PackOptions& options);

}  // namespace cytograd
