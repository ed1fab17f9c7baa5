#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/backend.h"
#include "engine/check.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

// Keys that keep the loader's draws apart from each other.
constexpr uint32_t kShuffleStream = 0xffffffffu;

int64_t batches_of(int64_t count, const LoaderOptions& options) {
  const int64_t batches = (count + options.batch - 1) / options.batch;
  return options.drop_single && batches > 1 && count % options.batch == 1 ? batches - 1 : batches;
}

int64_t domain_batches(int64_t count, const LoaderOptions& options) {
  const int64_t full = count / options.batch, rest = count % options.batch;
  if (full == 0) return options.drop_single && rest == 1 ? 0 : 1;
  if (options.drop_single && rest == 1) return full;
  return 2 * rest >= options.batch ? full + 1 : full;
}

}  // namespace

int64_t epoch_batches(int64_t count, const LoaderOptions& options) {
  if (options.domains.empty()) return batches_of(count, options);
  std::map<int64_t, int64_t> sizes;
  for (const int64_t domain : options.domains) ++sizes[domain];
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0}, [&](int64_t sum, const auto& domain) {
    return sum + domain_batches(domain.second, options);
  });
}

Loader::Loader(ImageStore& store, std::vector<int64_t> samples, std::vector<int64_t> labels,
               const LoaderOptions& options, int64_t epoch)
    : store_(store),
      samples_(std::move(samples)),
      labels_(std::move(labels)),
      options_(options),
      epoch_(epoch) {
  CHECK(options_.batch > 0 && options_.shrink > 0 && options_.crop >= 0 && options_.prefetch > 0);
  CHECK(labels_.empty() || labels_.size() == samples_.size(), "{} labels of {} samples", labels_.size(),
        samples_.size());
  CHECK(options_.domains.empty() || options_.domains.size() == samples_.size(), "{} domains of {} samples",
        options_.domains.size(), samples_.size());
  if (samples_.empty()) fail("there are no images to load");
  draw_batches();
  try {
    for (int i = 0; i < std::max(options_.workers, 1); ++i) workers_.emplace_back([this] { work(); });
  } catch (...) {
    stop();  // those that run already, or joining them would take for ever
    throw;
  }
}

void Loader::draw_batches() {
  order_.resize(samples_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  Philox philox(options_.seed, static_cast<uint64_t>(epoch_), kShuffleStream);
  if (options_.shuffle) shuffle(order_, philox);
  const auto batch = static_cast<size_t>(options_.batch);
  if (options_.domains.empty()) {
    const auto count = static_cast<size_t>(batches_of(static_cast<int64_t>(order_.size()), options_));
    for (size_t i = 0; i < count; ++i)
      batch_ranges_.emplace_back(i * batch, std::min((i + 1) * batch, order_.size()));
    return;
  }
  std::map<int64_t, std::vector<size_t>> members;
  for (const size_t i : order_) members[options_.domains[i]].push_back(i);
  order_.clear();
  for (const auto& [domain, images] : members) {
    const auto count = static_cast<size_t>(domain_batches(static_cast<int64_t>(images.size()), options_));
    for (size_t i = 0; i < count; ++i)
      batch_ranges_.emplace_back(order_.size() + i * batch,
                                 order_.size() + std::min((i + 1) * batch, images.size()));
    order_.insert(order_.end(), images.begin(), images.end());
  }
  if (options_.shuffle) shuffle(batch_ranges_, philox);
}

Loader::~Loader() { stop(); }

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(
        lock, [this] { return stop_ || claimed_ >= batches() || claimed_ < consumed_ + options_.prefetch; });
    if (stop_ || claimed_ >= batches()) return;
    const int64_t index = claimed_++;
    lock.unlock();
    Slot slot;
    try {
      assemble(index, slot);
    } catch (...) {
      slot.error = std::current_exception();
    }
    lock.lock();
    ready_[index] = std::move(slot);
    changed_.notify_all();
  }
}

std::optional<Batch> Loader::next() {
  while (true) {
    if (consumed_ >= batches()) return std::nullopt;
    const auto start = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ready_.contains(consumed_); });
    Slot slot = std::move(ready_.extract(consumed_).mapped());
    ++consumed_;
    lock.unlock();
    changed_.notify_all();
    stall_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (slot.error) std::rethrow_exception(slot.error);
    unreadable_.insert(unreadable_.end(), slot.unreadable.begin(), slot.unreadable.end());
    if (!slot.batch) continue;  // none of its images could be read
    slot.batch->place = consumed_ - 1;
    return std::move(slot.batch);
  }
}

View Loader::draw_view(const StoredImage& image, int64_t sample, int64_t& top, int64_t& left) const {
  const int64_t side = options_.crop * options_.shrink;
  const int64_t free_rows = side > 0 ? image.height - side : 0;
  const int64_t free_columns = side > 0 ? image.width - side : 0;
  top = free_rows / 2;
  left = free_columns / 2;
  View view;
  if (!options_.augmentation) return view;

  // Every draw is made whether it is used or not, so that one option does not change another's values.
  const Augmentation& augmentation = *options_.augmentation;
  Philox philox(options_.seed, static_cast<uint64_t>(epoch_) << 32 | 1u, static_cast<uint32_t>(sample));
  const uint32_t row = philox.below(static_cast<uint64_t>(free_rows) + 1);
  const uint32_t column = philox.below(static_cast<uint64_t>(free_columns) + 1);
  const uint32_t flips = philox.bits();
  if (augmentation.random_crop) {
    top = row;
    left = column;
  }
  view.mirror = augmentation.mirror && (flips & 1u) != 0;
  view.quarter_turns = augmentation.quarter_turns ? static_cast<int32_t>(flips >> 1 & 3u) : 0;
  if (view.quarter_turns % 2 != 0 && image.height != image.width && side == 0)
    --view.quarter_turns;  // half turns only
  for (size_t c = 0; c < view.gain.size(); ++c) {
    view.gain[c] = std::exp(augmentation.brightness * philox.uniform(-1.0f, 1.0f));
    view.offset[c] = augmentation.brightness * philox.uniform(-1.0f, 1.0f);
  }
  return view;
}

void Loader::assemble(int64_t index, Slot& slot) const {
  std::vector<StoredImage> images;
  std::vector<int64_t> labels;
  Batch batch;
  const auto [begin, end] = batch_ranges_[static_cast<size_t>(index)];
  for (size_t at = begin; at < end; ++at) {
    const size_t i = order_[at];
    const int64_t sample = samples_[i];
    try {
      images.push_back(store_.get(sample));
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      slot.unreadable.push_back({sample, error.what()});
      continue;
    }
    batch.samples.push_back(sample);
    labels.push_back(labels_.empty() ? -1 : labels_[i]);
  }
  if (images.empty()) return;

  const StoredImage& first = images.front();
  const int64_t side = options_.crop * options_.shrink;
  const int64_t height = side > 0 ? side : first.height;  // the store has checked every image's size
  const int64_t width = side > 0 ? side : first.width;
  const auto n = static_cast<int64_t>(images.size());
  batch.images = backend(options_.device).staging({n, height, width, first.channels}, DType::u8);
  batch.labels = Tensor::from(labels, {n});
  auto* destination = batch.images.data<uint8_t>();
  const auto row_bytes = static_cast<size_t>(width * first.channels);
  for (size_t i = 0; i < images.size(); ++i) {
    const StoredImage& image = images[i];
    const int64_t sample = batch.samples[i];
    int64_t top = 0;
    int64_t left = 0;
    batch.views.push_back(draw_view(image, sample, top, left));
    for (int64_t y = 0; y < height; ++y, destination += row_bytes) {
      std::memcpy(destination, image.pixels.get() + ((top + y) * image.width + left) * image.channels,
                  row_bytes);
    }
  }
  slot.batch = std::move(batch);
}

}  // namespace cytograd
