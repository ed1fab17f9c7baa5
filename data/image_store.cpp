#include "data/image_store.h"

#include <algorithm>
#include <fstream>
#include <mutex>

#include "data/pack.h"
#include "data/workers.h"
#include "engine/check.h"

namespace cytograd {
ImageStore::ImageStore(const Dataset& dataset, const ImageStoreOptions& options)
    : dataset_(dataset), options_(options), cached_(dataset.samples.size()) {
  std::string first_reason = "there are no images";
  for (; reference_sample_ < dataset.samples.size(); ++reference_sample_) {
    try {  // the whole image: a header may promise what is not there
      const StoredImage image = read_stored(dataset.samples[reference_sample_], options.read);
      reference_ = {image.height, image.width, image.channels};
      return;
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      if (reference_sample_ == 0) first_reason = error.what();
    }
  }
  fail("{}: no image can be read; the first: {}", dataset.root.string(), first_reason);
}

StoredImage ImageStore::get(int64_t sample) {
  const auto i = static_cast<size_t>(sample);
  CHECK(i < cached_.size(), "sample {} of {}", sample, cached_.size());
  if (cached_[i].pixels) return cached_[i];
  StoredImage image = read_stored(dataset_.samples[i], options_.read);
  check_size(sample, {image.height, image.width, image.channels});
  return image;
}

void ImageStore::check_size(int64_t sample, const ImageInfo& image) const {
  const std::string file = place_of(dataset_.samples[static_cast<size_t>(sample)]);
  const std::string other = place_of(dataset_.samples[reference_sample_]);
  if (image.channels != reference_.channels) {
    throw UnskippableError(
        fmt::format("{} has {} channels but {} has {}; all images of a dataset need as many", file,
                    image.channels, other, reference_.channels));
  }
  const int64_t side = options_.crop_side;
  if (side == 0 && (image.height != reference_.height || image.width != reference_.width)) {
    throw UnskippableError(fmt::format("{} is {} pixels but {} is {}; {}", file, size_text(image), other,
                                       size_text(reference_), options_.other_size_advice));
  }
  if (image.height < side || image.width < side) {
    throw UnskippableError(fmt::format("{} is {} pixels, smaller than the crop of {}; {}", file,
                                       size_text(image), side, options_.small_size_advice));
  }
}

std::vector<UnreadableImage> ImageStore::preload(
    int workers, const std::function<void(int64_t done, int64_t total)>& progress) {
  const auto total = static_cast<int64_t>(dataset_.samples.size());
  std::mutex mutex;
  std::vector<UnreadableImage> unreadable;
  const auto read = [&](int64_t i) {
    const Sample& sample = dataset_.samples[static_cast<size_t>(i)];
    if (sample.pack) {
      check_size(i, sample.pack->info(sample.packed));
      return true;
    }
    StoredImage image = get(i);
    const size_t bytes = image.bytes();
    if (used_bytes_.fetch_add(bytes) + bytes > options_.cache_bytes) {
      used_bytes_ -= bytes;
      return false;
    }
    cached_[static_cast<size_t>(i)] = std::move(image);
    return true;
  };
  std::atomic<bool> full = false;
  for_each_item(
      total, workers,
      [&](int64_t i) {
        try {
          if (!read(i)) full = true;
        } catch (const UnskippableError&) {
          throw;
        } catch (const Error& error) {
          const std::lock_guard lock(mutex);
          unreadable.push_back({i, error.what()});
        }
        return !full;
      },
      [&](int64_t done) {
        if (progress) progress(done, total);
      });
  complete_ = !full;
  std::sort(unreadable.begin(), unreadable.end(),
            [](const auto& a, const auto& b) { return a.sample < b.sample; });
  return unreadable;
}

size_t available_in_group(const std::filesystem::path& group) {
  size_t limit = 0, used = 0;
  if (!(std::ifstream(group / "memory.max") >> limit)) return SIZE_MAX;  // "max": none
  std::ifstream(group / "memory.current") >> used;
  // Pages of files that nothing has mapped for long count as used, but are given up first.
  std::ifstream statistics(group / "memory.stat");
  std::string key;
  for (size_t bytes = 0; statistics >> key >> bytes;) {
    if (key == "inactive_file") used -= std::min(used, bytes);
  }
  return limit - std::min(limit, used);
}

size_t available_memory() {
  size_t available = size_t{1} << 30;
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (size_t kib = 0; file >> key >> kib; file.ignore(256, '\n')) {
    if (key == "MemAvailable:") available = kib << 10;
  }
  return std::min(available, available_in_group("/sys/fs/cgroup"));
}

}  // namespace cytograd
