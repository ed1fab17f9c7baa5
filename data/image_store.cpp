#include "data/image_store.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "engine/check.h"

namespace cytograd {

ImageStore::ImageStore(const Dataset& dataset, const ImageStoreOptions& options)
    : dataset_(dataset), options_(options), cached_(dataset.samples.size()) {
  std::string first_reason = "there are no images";
  for (; reference_sample_ < dataset.samples.size(); ++reference_sample_) {
    try {  // the whole image: a header may promise what is not there
      const Image image = read_planes(dataset.samples[reference_sample_].files);
      reference_ = {image.height, image.width, image.channels};
      return;
    } catch (const Error& error) {
      if (reference_sample_ == 0) first_reason = error.what();
    }
  }
  fail("{}: no image can be read; the first: {}", dataset.root.string(), first_reason);
}

std::shared_ptr<const Image> ImageStore::get(int64_t sample) {
  const auto i = static_cast<size_t>(sample);
  CHECK(i < cached_.size(), "sample {} of {}", sample, cached_.size());
  if (cached_[i]) return cached_[i];
  auto image = std::make_shared<const Image>(read_planes(dataset_.samples[i].files));
  check_size(sample, *image);
  return image;
}

void ImageStore::check_size(int64_t sample, const Image& image) const {
  const std::string file = dataset_.samples[static_cast<size_t>(sample)].files.front();
  const std::string other = dataset_.samples[reference_sample_].files.front();
  if (image.channels != reference_.channels) {
    throw ImageSizeError(fmt::format("{} has {} channels but {} has {}; all images of a dataset need as many",
                                     file, image.channels, other, reference_.channels));
  }
  const int64_t side = options_.crop_side;
  if (side == 0 && (image.height != reference_.height || image.width != reference_.width)) {
    throw ImageSizeError(fmt::format("{} is {} x {} pixels but {} is {} x {}; {}", file, image.width,
                                     image.height, other, reference_.width, reference_.height,
                                     options_.other_size_advice));
  }
  if (image.height < side || image.width < side) {
    throw ImageSizeError(fmt::format("{} is {} x {} pixels, smaller than the crop of {}; {}", file,
                                     image.width, image.height, side, options_.small_size_advice));
  }
}

std::vector<UnreadableImage> ImageStore::preload(
    int workers, const std::function<void(int64_t done, int64_t total)>& progress) {
  const auto total = static_cast<int64_t>(dataset_.samples.size());
  std::atomic<int64_t> next = 0;
  std::atomic<int64_t> done = 0;
  std::atomic<bool> full = false;
  std::mutex mutex;
  std::vector<UnreadableImage> unreadable;
  std::exception_ptr fatal;

  const auto work = [&] {
    for (int64_t i = next++; i < total && !full; i = next++) {
      try {
        auto image = get(i);
        const size_t bytes = image->pixels.size();
        if (used_bytes_.fetch_add(bytes) + bytes > options_.cache_bytes) {
          used_bytes_ -= bytes;
          full = true;
        } else {
          cached_[static_cast<size_t>(i)] = std::move(image);
        }
      } catch (const ImageSizeError&) {
        const std::lock_guard lock(mutex);
        if (!fatal) fatal = std::current_exception();
        full = true;  // stops the others
      } catch (const Error& error) {
        const std::lock_guard lock(mutex);
        unreadable.push_back({i, error.what()});
      } catch (...) {  // out of memory
        const std::lock_guard lock(mutex);
        if (!fatal) fatal = std::current_exception();
        full = true;
      }
      ++done;
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::max(workers, 1); ++i) threads.emplace_back(work);
  while (done < total && !full) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (progress) progress(done, total);
  }
  threads.clear();  // joins
  if (fatal) std::rethrow_exception(fatal);
  complete_ = !full;
  std::sort(unreadable.begin(), unreadable.end(),
            [](const auto& a, const auto& b) { return a.sample < b.sample; });
  return unreadable;
}

size_t available_memory() {
  size_t available = size_t{1} << 30;
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (size_t kib = 0; file >> key >> kib; file.ignore(256, '\n')) {
    if (key == "MemAvailable:") available = kib << 10;
  }
  // A container's limit, of control groups version 2; the file says "max" where there is none.
  size_t limit = 0;
  std::ifstream group("/sys/fs/cgroup/memory.max");
  return group >> limit ? std::min(available, limit) : available;
}

}  // namespace cytograd
