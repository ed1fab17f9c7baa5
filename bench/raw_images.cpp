#include "bench/raw_images.h"

#include <algorithm>

#include "bench/scratch_folder.h"
#include "engine/philox.h"

namespace cytograd::bench {
namespace {

constexpr int64_t kBytes = int64_t{64} << 20;
constexpr int64_t kImagesAtMost = 1024;  // unless more are asked for: each is decoded once
constexpr int kDecoders = 2;

void write_noise(const std::filesystem::path& file, int64_t side, uint64_t seed) {
  Philox philox(seed);
  Image image{side, side, 1, std::vector<uint8_t>(static_cast<size_t>(side * side))};
  for (uint8_t& pixel : image.pixels) pixel = static_cast<uint8_t>(philox.below(256));
  write_png(file, image);
}

}  // namespace

RawImages::RawImages(const Options& options) : classes_(options.classes) {
  const ScratchFolder scratch;  // the pixels are in memory afterwards
  Sample sample;
  for (int64_t c = 0; c < options.channels; ++c) {
    const std::filesystem::path file = scratch.path() / fmt::format("channel_{}.png", c);
    write_noise(file, options.side, static_cast<uint64_t>(c));
    sample.files.push_back(file.string());
  }
  const int64_t fitting = kBytes / (options.side * options.side * options.channels);
  const int64_t count = std::max(options.at_least, std::min(fitting, kImagesAtMost));
  dataset_.samples.resize(static_cast<size_t>(count), sample);
  store_ = std::make_unique<ImageStore>(dataset_, ImageStoreOptions{.cache_bytes = SIZE_MAX});
  store_->preload(kDecoders, [](int64_t, int64_t) {});
}

std::unique_ptr<Loader> RawImages::load(int64_t count, const LoaderOptions& options, int64_t epoch) {
  const auto images = static_cast<int64_t>(dataset_.samples.size());
  std::vector<int64_t> samples, labels;
  for (int64_t i = 0; i < count; ++i) {
    samples.push_back((epoch * count + i) % images);
    labels.push_back(samples.back() % classes_);
  }
  return std::make_unique<Loader>(*store_, samples, labels, options, epoch);
}

}  // namespace cytograd::bench
