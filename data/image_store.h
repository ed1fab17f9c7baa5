// Decoded images of a dataset: from memory where they fit, else from disk each time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/stored_image.h"

namespace cytograd {

/// A sample whose files are there but cannot be used.
struct UnreadableImage {
  int64_t sample = 0;  ///< index into Dataset::samples
  std::string reason;  ///< names the file
};

struct ImageStoreOptions {
  size_t cache_bytes = size_t{1} << 30;  ///< of decoded pixels
  int64_t crop_side = 0;  ///< pixels every image must have at least; 0: all images are of one size
  ReadOptions read = {};
  std::string other_size_advice = "train with --crop to cut all to one size";
  std::string small_size_advice = "train with a smaller --crop or --shrink";
};

/// Thread-safe. The dataset must outlive the store.
class ImageStore {
 public:
  /// Reads the first image that can be read, whose size the others must fit. Throws Error where there is none.
  ImageStore(const Dataset& dataset, const ImageStoreOptions& options);

  /// Of the first readable image; every image has as many channels.
  const ImageInfo& reference() const { return reference_; }

  /// All channels of a sample, [H, W, C]; decoded where the cache lacks it. Throws Error for an unreadable
  /// file, UnskippableError for an image that does not fit the others or the crop, or a damaged pack.
  StoredImage get(int64_t sample);

  /// Decodes samples on `workers` threads, in order, until the cache is full, and returns those that cannot
  /// be read. A dataset that fits is in memory afterwards; of a pack, whose images are mapped, only the sizes
  /// are looked at. Throws UnskippableError as get does. `progress` is called on the calling thread.
  std::vector<UnreadableImage> preload(int workers,
                                       const std::function<void(int64_t done, int64_t total)>& progress);

  /// Whether every readable sample is in memory.
  bool complete() const { return complete_; }

 private:
  void check_size(int64_t sample, const ImageInfo& image) const;

  const Dataset& dataset_;
  ImageStoreOptions options_;
  ImageInfo reference_;
  size_t reference_sample_ = 0;
  std::atomic<size_t> used_bytes_ = 0;
  std::atomic<bool> complete_ = false;
  std::vector<StoredImage> cached_;  // written by preload alone
};

/// Bytes of memory the machine, and the container that the process is in, can still give, for a default cache size.
size_t available_memory();
/// Of a control group of version 2 (the folder with its memory.max, a container's /sys/fs/cgroup); SIZE_MAX: no limit.
size_t available_in_group(const std::filesystem::path& group);

}  // namespace cytograd
