#include "data/pack.h"

#include <algorithm>

#include "data/checksum.h"
#include "data/workers.h"
#include "engine/check.h"

namespace cytograd {

namespace fs = std::filesystem;

fs::path PackFiles::shard(size_t number) const {
  return folder / fmt::format("shard-{:05}.safetensors", number);
}

Pack::Pack(PackFiles files, std::vector<PackShard> shards, std::vector<PackedImage> images)
    : files_(std::move(files)),
      shards_(std::move(shards)),
      images_(std::move(images)),
      checked_(images_.size()) {
  for (const PackShard& shard : shards_) {
    const fs::path file = files_.folder / shard.file;
    std::error_code error;
    const uintmax_t bytes = fs::file_size(file, error);
    if (error) fail("{}: cannot be read: {}; the pack needs it", file.string(), error.message());
    if (bytes != shard.bytes)
      fail("{}: has {} bytes, but {} when it was packed; it ends at byte {} where {} is due", file.string(),
           bytes, shard.bytes, bytes, shard.bytes);
    mapped_.push_back(std::make_shared<const MappedFile>(file));
  }
  for (const PackedImage& image : images_) {
    if (!image.unreadable.empty()) continue;
    if (image.shard >= shards_.size())
      fail("{}: image '{}' is in shard {} of {}", files_.index().string(), image.name, image.shard,
           shards_.size());
    const PackShard& shard = shards_[image.shard];
    if (image.offset < shard.header_bytes || image.offset > shard.bytes ||
        image.bytes() > shard.bytes - image.offset)
      fail("{}: image '{}' has the bytes {} to {} of {}, which has {}", files_.index().string(), image.name,
           image.offset, image.offset + image.bytes(), shard.file, shard.bytes);
  }
}

void Pack::require_readable(size_t image) const {
  if (!images_[image].unreadable.empty())
    fail("{} (could not be read when it was packed)", images_[image].unreadable);
}

ImageInfo Pack::info(size_t image) const {
  require_readable(image);
  return {images_[image].height, images_[image].width, images_[image].channels};
}

StoredImage Pack::read(size_t image) const {
  require_readable(image);
  const PackedImage& entry = images_[image];
  const std::shared_ptr<const MappedFile>& file = mapped_[entry.shard];
  if (!checked_[image].load(std::memory_order_relaxed)) {
    file->will_need(entry.offset, entry.bytes());
    check(image);
    checked_[image].store(true, std::memory_order_relaxed);
  }
  return {entry.height, entry.width, entry.channels,
          std::shared_ptr<const uint8_t[]>(file, file->bytes().data() + entry.offset)};
}

void Pack::check(size_t image) const {
  const PackedImage& entry = images_[image];
  const uint32_t crc = crc32_of(mapped_[entry.shard]->bytes().subspan(entry.offset, entry.bytes()));
  if (crc == entry.crc32) return;
  throw UnskippableError(fmt::format(
      "{}: image '{}', bytes {} to {}, has the checksum {} and should have {}; the file is damaged, pack the "
      "dataset again",
      (files_.folder / shards_[entry.shard].file).string(), entry.name, entry.offset,
      entry.offset + entry.bytes(), checksum_text(crc), checksum_text(entry.crc32)));
}

void Pack::check_header(size_t shard) const {
  const PackShard& entry = shards_[shard];
  const uint32_t crc = crc32_of(mapped_[shard]->bytes().first(entry.header_bytes));
  if (crc == entry.header_crc32) return;
  fail(
      "{}: its header, bytes 0 to {}, has the checksum {} and should have {}; the file is damaged, pack the "
      "dataset again",
      (files_.folder / entry.file).string(), entry.header_bytes, checksum_text(crc),
      checksum_text(entry.header_crc32));
}

void Pack::verify(int workers, const std::function<void(int64_t images)>& progress) const {
  for (size_t shard = 0; shard < shards_.size(); ++shard) check_header(shard);
  for_each_item(
      static_cast<int64_t>(images_.size()), workers,
      [&](int64_t i) {
        const auto image = static_cast<size_t>(i);
        if (!images_[image].unreadable.empty()) return true;
        check(image);
        mapped_[images_[image].shard]->not_needed(images_[image].offset, images_[image].bytes());
        return true;
      },
      progress);
}

}  // namespace cytograd
