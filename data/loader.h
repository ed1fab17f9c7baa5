// Batches of raw images for the training step, assembled ahead of it on worker threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/image_store.h"
#include "engine/op_options.h"

namespace cytograd {

/// Random changes of a training image. All draws depend on (seed, epoch, sample) alone.
struct Augmentation {
  bool random_crop = true;  ///< else the centre
  bool mirror = false;
  bool quarter_turns = false;
  float brightness =
      0.0f;  ///< b > 0: gain exp(u b), offset v b with u, v uniform in [-1, 1], for each channel
};

struct LoaderOptions {
  int64_t batch = 64;
  int64_t crop = 0;  ///< side in shrunk pixels; 0: the whole image, all of one size
  int64_t shrink = 1;
  int workers = 2;
  int64_t prefetch = 4;  ///< batches assembled ahead
  bool shuffle = false;
  bool drop_single = false;  ///< drops a last batch of one image, which has no batch statistics
  uint64_t seed = 0;
  std::optional<Augmentation> augmentation = {};  ///< none: centre crops, as in evaluation
  std::vector<int64_t> domains =
      {};                       ///< aligned with the samples: all images of a batch are of one; empty: of any
  Device device = Device::cpu;  ///< that batches will be uploaded to
};

struct Batch {
  Tensor images;                 ///< u8 [N, H, W, C] on the CPU: the crop's pixels, before shrinking
  Tensor labels;                 ///< i64 [N]; -1 where the loader was given none
  std::vector<View> views;       ///< for `preprocess`; crop offsets are taken already
  std::vector<int64_t> samples;  ///< indices into the dataset
  int64_t place = 0;             ///< among the epoch's batches, from 0, of which some may be without an image
};

/// Batches that a loader makes of `count` images, the same in every epoch.
int64_t epoch_batches(int64_t count, const LoaderOptions& options);

/// Batches of one epoch, the same whatever the number of workers. With domains, what is left of one after its full
/// batches is a smaller batch where it is half full at least, or the domain has no other; else it is left out of this
/// epoch, and which images those are is drawn anew in each. An image that turns out to be unreadable is
/// left out of its batch and reported by unreadable().
class Loader {
 public:
  /// `samples` and `labels` (aligned; labels may be empty) are those of the epoch. The store must outlive the
  /// loader. Throws Error where there is nothing to load.
  Loader(ImageStore& store, std::vector<int64_t> samples, std::vector<int64_t> labels,
         const LoaderOptions& options, int64_t epoch);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch; nullopt after the last. Rethrows what stopped a worker: an image whose size differs from
  /// the others' (without a crop) or is smaller than the crop is an Error naming it.
  std::optional<Batch> next();

  int64_t batch_size() const { return options_.batch; }  ///< of whole batches
  int64_t batches() const { return static_cast<int64_t>(batch_ranges_.size()); }
  /// Seconds that next() has waited for the workers.
  double stall_seconds() const { return stall_seconds_; }
  const std::vector<UnreadableImage>& unreadable() const { return unreadable_; }

 private:
  struct Slot {
    std::optional<Batch> batch;
    std::vector<UnreadableImage> unreadable;
    std::exception_ptr error;
  };

  void work();
  void stop();
  void draw_batches();
  void assemble(int64_t index, Slot& slot) const;
  View draw_view(const StoredImage& image, int64_t sample, int64_t& top, int64_t& left) const;

  ImageStore& store_;
  std::vector<int64_t> samples_;
  std::vector<int64_t> labels_;
  LoaderOptions options_;
  int64_t epoch_;
  std::vector<size_t> order_;                            // of the samples, batch after batch
  std::vector<std::pair<size_t, size_t>> batch_ranges_;  // first and last + 1 in `order_`
  double stall_seconds_ = 0.0;
  std::vector<UnreadableImage> unreadable_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Slot> ready_;
  int64_t claimed_ = 0;   // batches that workers have begun
  int64_t consumed_ = 0;  // batches that next() has returned
  bool stop_ = false;
  std::vector<std::jthread> workers_;
};

}  // namespace cytograd
