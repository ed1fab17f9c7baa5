// Images are decoded on threads and come in order into a shard in memory, which goes to the disk while the next one
// fills. A shard says of itself what it holds, so that a pack goes on from those that are whole.
#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>

#include "data/checksum.h"
#include "data/pack.h"
#include "data/pack_index.h"
#include "data/workers.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/folder_lock.h"
#include "engine/safetensors.h"

namespace cytograd {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFingerprint = "cytograd.pack";
constexpr const char* kContent = "cytograd.content";
constexpr const char* kHas16Bits = "has_16_bits";
constexpr int64_t kBytesWhileDecoding =
    5;  // a value: in the file, as it was compressed, decoded in 16 bits, in 8
constexpr int64_t kMostDecoding = int64_t{512} << 20;
/// Readers of safetensors take a header of 100 MB at most; names may grow as they are written into it.
constexpr uint64_t kMostHeaderBytes = 16'000'000;
/// Each is mapped where a pack is read, and Linux lets a process have some 65,000 maps (vm.max_map_count).
constexpr uint64_t kMostShards = 30'000;

struct DecodedImage {
  StoredImage image = {};  // without pixels: unreadable
  uint32_t crc32 = 0;
  std::string unreadable = {};
};

/// Images that will make up a shard, with those between them that cannot be read.
struct OpenShard {
  size_t first = 0;  // sample
  std::vector<DecodedImage> images = {};
  uint64_t bytes = 0;
  uint64_t header_bytes = 0;  // about
};

class PackWriter {
 public:
  PackWriter(const Dataset& dataset, const PackOptions& options)
      : dataset_(dataset),
        options_(options),
        files_{options.out},
        fingerprint_(detail::pack_fingerprint(dataset, options)) {
    index_.fingerprint = fingerprint_;
  }

  PackSummary run() {
    check_names();
    require_own_folder();
    lock_.emplace(files_.folder, "packing into this folder");
    remove_leftovers(files_.folder, [](const std::string& name) { return is_own(name); });
    remove_leftover_tables();
    check_shard_count();
    if (file_exists(files_.description())) {
      if (const auto there = whole()) return *there;
    }
    PackSummary summary;
    while (adopt_shard()) {
    }
    summary.resumed = static_cast<int64_t>(index_.images.size());
    decode_rest();
    finish(summary);
    return summary;
  }

 private:
  static bool is_shard(const std::string& name) {
    return name.starts_with("shard-") && name.ends_with(".safetensors");
  }
  static bool is_own(const std::string& name) {
    return is_shard(name) || name == "index.csv" || name == "missing.csv" || name == "pack.json" ||
           name == "tables";
  }

  void remove_leftover_tables() const {
    const auto is_table = [](const std::string& name) { return name.ends_with(".csv"); };
    remove_leftovers(files_.tables(), is_table);
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator entry(files_.tables(), options, error), end; !error && entry != end;
         entry.increment(error)) {
      if (fs::is_directory(entry->symlink_status(error))) remove_leftovers(entry->path(), is_table);
    }
  }

  /// A tensor is called as its image: what cannot be a name is said before hours of work.
  void check_names() const {
    for (const Sample& sample : dataset_.samples) {
      const std::string root = dataset_.root.string();
      if (sample.name == "__metadata__") fail("{}: an image cannot be called '{}'", root, sample.name);
      const SafetensorsEntry entry{.name = sample.name, .dtype = DType::u8, .shape = {0}};
      try {
        (void)safetensors_prefix({&entry, 1}, {});
      } catch (const Error& error) {
        fail("{}: an image cannot be packed: {}", root, error.what());
      }
    }
  }

  /// As the first image that can be read has it.
  void check_shard_count() const {
    const Sample* const sample = first_readable(dataset_);
    if (sample == nullptr) return;
    const ImageInfo info = read_sample_info(*sample);
    const auto bytes = static_cast<uint64_t>(info.height * info.width * info.channels);
    const uint64_t in_a_shard = (options_.shard_bytes + bytes - 1) / bytes;
    const uint64_t shards = dataset_.samples.size() / in_a_shard;
    if (shards <= kMostShards) return;
    fail("{}: its {} images would be {} shards, more than the {} of a pack; use a larger --shard-mib",
         dataset_.root.string(), dataset_.samples.size(), shards, kMostShards);
  }

  /// What the header of a shard says of an image.
  uint64_t header_bytes(size_t i, const DecodedImage& image) const {
    constexpr uint64_t kNumbers = 120;  // type, shape, offsets, checksum
    return dataset_.samples[i].name.size() + image.unreadable.size() + kNumbers;
  }

  void require_own_folder() const {
    std::error_code error;
    const bool is_begun = file_exists(files_.shard(0)) || detail::describes_pack(files_.description());
    for (const auto& entry : fs::directory_iterator(files_.folder, error)) {
      const std::string name = entry.path().filename().string();
      const std::string whole_name = name.substr(0, name.rfind(".tmp."));
      // Before its first shard is written, a pack has nothing but a part of it.
      const bool is_part = whole_name != name && files_.folder / whole_name == files_.shard(0);
      if (is_begun ? !is_own(whole_name) : !is_part)
        fail("{}: holds other files, such as {}; name a folder of its own for the pack",
             files_.folder.string(), name);
    }
  }

  /// Of a pack that is finished and sound; nothing where a part of it is damaged, which is then packed again.
  std::optional<PackSummary> whole() const {
    std::string fingerprint;
    if (!is_done([&] { fingerprint = detail::read_pack_fingerprint(files_); })) return std::nullopt;
    if (fingerprint != fingerprint_)
      fail(
          "{}: holds the pack of another dataset, of one that has changed since, of another --white or "
          "--shard-mib, or of an earlier version of cytograd; name another --out",
          files_.folder.string());
    Dataset packed;
    const auto open = [&] {
      packed = open_pack(files_.folder);
      detail::require_same_tables(files_, packed, dataset_);
    };
    if (!is_done(open)) return std::nullopt;
    PackSummary summary{.images = static_cast<int64_t>(packed.samples.size()), .was_whole = true};
    summary.resumed = summary.images;
    if (packed.samples.empty()) return summary;
    const Pack& pack = *packed.samples.front().pack;
    require_same_images(pack.images(), 0);
    if (!is_done([&] { require_sound(packed, pack); })) return std::nullopt;
    count(pack.shards(), summary);
    summary.unreadable = report_unreadable(pack.images());
    return summary;
  }

  /// Whether `work` threw no Error, which it else says.
  template <typename Work>
  bool is_done(const Work& work) const {
    try {
      work();
      return true;
    } catch (const Error& error) {
      say(fmt::format("packing again: {}", error.what()));
      return false;
    }
  }

  void require_sound(const Dataset& packed, const Pack& pack) const {
    pack.verify(options_.workers, options_.progress);
    for (size_t i = 0; i < packed.samples.size(); ++i) {
      if (pack.is_unreadable(i)) require_unreadable(i);
    }
    if (!packed.white) require_8_bits(pack.shards().size());
  }

  /// Throws where an image of a pack that says nothing of --white had 16 bits.
  void require_8_bits(size_t shards) const {
    for (size_t i = 0; i < shards; ++i) {
      const fs::path file = files_.shard(i);
      const SafetensorsHeader header = read_safetensors_header(file);
      if (has_16_bits(header, parse_content(header, file)))
        fail("{}: does not say how 16 bits became 8, as an earlier version left it",
             files_.description().string());
    }
  }

  /// By the headers of its files.
  static bool has_16_bits(const Sample& sample) {
    return !sample.pack && std::any_of(sample.files.begin(), sample.files.end(), [](const std::string& file) {
      return read_image_info(file).bits == 16;
    });
  }

  /// Throws where a sample that could not be read when it was packed can be read now.
  void require_unreadable(size_t i) const {
    if (decode(i).unreadable.empty())
      fail("{}: image '{}' could not be read and now can", files_.folder.string(), dataset_.samples[i].name);
  }

  /// Throws where the first or the last image of a shard is not what its files hold now: the shard is of other data by
  /// the same names. `images` begin with sample `first`.
  void require_same_images(std::span<const PackedImage> images, size_t first) const {
    std::optional<size_t> last;  // of the shard so far
    for (size_t i = 0; i < images.size(); ++i) {
      if (!images[i].unreadable.empty()) continue;
      if (!last || images[*last].shard != images[i].shard) {
        if (last) require_same(images[*last], first + *last);
        require_same(images[i], first + i);
      }
      last = i;
    }
    if (last) require_same(images[*last], first + *last);
  }

  /// What cannot be read now stays as it was packed.
  void require_same(const PackedImage& packed, size_t sample) const {
    const DecodedImage now = decode(sample);
    if (!now.unreadable.empty() || (now.crc32 == packed.crc32 && now.image.height == packed.height &&
                                    now.image.width == packed.width && now.image.channels == packed.channels))
      return;
    throw UnskippableError(
        fmt::format("{}: holds image '{}' as {} does not have it now; name another --out, or remove the file",
                    files_.shard(packed.shard).string(), packed.name, dataset_.root.string()));
  }

  static void count(const std::vector<PackShard>& shards, PackSummary& summary) {
    summary.shards = shards.size();
    for (const PackShard& shard : shards) summary.bytes += shard.bytes;
  }

  /// Takes over the next shard where it is there and sound.
  bool adopt_shard() {
    const fs::path file = files_.shard(index_.shards.size());
    if (!file_exists(file)) return false;
    try {
      const SafetensorsHeader header = read_safetensors_header(file);
      const auto fingerprint = header.metadata.find(kFingerprint);
      if (fingerprint == header.metadata.end() || fingerprint->second != fingerprint_)
        throw UnskippableError(fmt::format(
            "{}: is of the pack of another dataset, of one that has changed since, or of an earlier "
            "version of cytograd; name another --out, or remove it",
            file.string()));
      adopt(header, file);
      return true;
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      say(fmt::format("packing again: {}", error.what()));
      return false;
    }
  }

  void adopt(const SafetensorsHeader& header, const fs::path& file) {
    const MappedFile mapped(file);
    const nlohmann::json content = parse_content(header, file);
    const std::vector<std::string> checksums = content.at("crc32").get<std::vector<std::string>>();
    const nlohmann::json& unreadable = content.at("unreadable");
    const size_t count = header.entries.size() + unreadable.size();
    if (content.at("first").get<size_t>() != index_.images.size() ||
        checksums.size() != header.entries.size() || count == 0 ||
        count > dataset_.samples.size() - index_.images.size())
      fail("{}: its metadata does not fit the dataset", file.string());
    std::vector<PackedImage> images;
    for (size_t i = 0, entry = 0; i < count; ++i) {
      const std::string& name = dataset_.samples[index_.images.size() + i].name;
      PackedImage image{.name = name, .shard = index_.shards.size()};
      if (unreadable.contains(name)) {
        image.unreadable = unreadable[name].get<std::string>();
        if (image.unreadable.empty()) fail("{}: image '{}' is unreadable for no reason", file.string(), name);
        require_unreadable(index_.images.size() + i);
      } else {
        if (entry >= header.entries.size() || header.entries[entry].name != name)
          fail("{}: lacks image '{}'", file.string(), name);
        place(image, header.entries[entry], file);
        image.crc32 = crc32_of(mapped.bytes().subspan(image.offset, image.bytes()));
        if (checksum_text(image.crc32) != checksums[entry])
          fail("{}: image '{}', bytes {} to {}, has a wrong checksum", file.string(), name, image.offset,
               image.offset + image.bytes());
        ++entry;
      }
      images.push_back(std::move(image));
    }
    require_same_images(images, index_.images.size());
    const uint64_t header_bytes = header.entries.empty() ? header.file_bytes : header.entries.front().offset;
    any_of_16_bits_ = any_of_16_bits_ || has_16_bits(header, content);
    index_.shards.push_back({.file = file.filename().string(),
                             .bytes = header.file_bytes,
                             .header_crc32 = crc32_of(mapped.bytes().first(header_bytes)),
                             .header_bytes = header_bytes});
    index_.images.insert(index_.images.end(), std::make_move_iterator(images.begin()),
                         std::make_move_iterator(images.end()));
  }

  /// Of any image of a shard: as it says, or, where an earlier version wrote it, by the headers of their files.
  bool has_16_bits(const SafetensorsHeader& header, const nlohmann::json& content) const {
    if (content.contains(kHas16Bits)) return content[kHas16Bits].get<bool>();
    const nlohmann::json& unreadable = content["unreadable"];
    const auto first = content["first"].get<size_t>();
    const size_t end = std::min(dataset_.samples.size(), first + header.entries.size() + unreadable.size());
    for (size_t i = first; i < end; ++i) {
      const Sample& sample = dataset_.samples[i];
      if (!unreadable.contains(sample.name) && has_16_bits(sample)) return true;
    }
    return false;
  }

  static nlohmann::json parse_content(const SafetensorsHeader& header, const fs::path& file) {
    const auto found = header.metadata.find(kContent);
    if (found == header.metadata.end()) fail("{}: has no list of its images", file.string());
    auto content = nlohmann::json::parse(found->second, nullptr, false);
    const bool sound = content.is_object() && content.contains("first") &&
                       content["first"].is_number_unsigned() && content.contains("crc32") &&
                       content["crc32"].is_array() &&
                       std::all_of(content["crc32"].begin(), content["crc32"].end(),
                                   [](const Json& item) { return item.is_string(); }) &&
                       content.contains("unreadable") && content["unreadable"].is_object() &&
                       std::all_of(content["unreadable"].begin(), content["unreadable"].end(),
                                   [](const Json& item) { return item.is_string(); }) &&
                       (!content.contains(kHas16Bits) || content[kHas16Bits].is_boolean());
    if (!sound) fail("{}: its list of images is malformed", file.string());
    return content;
  }

  static void place(PackedImage& image, const SafetensorsEntry& entry, const fs::path& file) {
    const Shape& shape = entry.shape;
    if (entry.dtype != DType::u8 || shape.rank() != 3 || !detail::is_image(shape[0], shape[1], shape[2]))
      fail("{}: tensor '{}', {} {}, is no image of 8 bits", file.string(), entry.name,
           dtype_name(entry.dtype), shape);
    image.offset = entry.offset;
    image.height = shape[0];
    image.width = shape[1];
    image.channels = shape[2];
  }

  void decode_rest() {
    const auto total = static_cast<int64_t>(dataset_.samples.size());
    const auto first = static_cast<int64_t>(index_.images.size());
    OpenShard open{.first = index_.images.size()};
    for_each_in_order<DecodedImage>(
        {.first = first,
         .count = total,
         .workers = options_.workers,
         .ahead = images_ahead(index_.images.size())},
        [&](int64_t i) { return decode(static_cast<size_t>(i)); },
        [&](int64_t i, DecodedImage image) {
          open.bytes += image.image.bytes();
          open.header_bytes += header_bytes(static_cast<size_t>(i), image);
          open.images.push_back(std::move(image));
          if (options_.progress) options_.progress(i + 1);
          if (open.bytes < options_.shard_bytes && open.header_bytes < kMostHeaderBytes) return;
          close(std::move(open));
          open = {.first = static_cast<size_t>(i) + 1};
        });
    if (!open.images.empty()) close(std::move(open));
    if (writing_.valid()) writing_.get();
  }

  /// How many images may be decoded and not yet taken: so many that memory stays bounded whatever the threads.
  int64_t images_ahead(size_t first) const {
    int64_t bytes = 1;
    try {
      if (first < dataset_.samples.size()) {
        const ImageInfo info = read_sample_info(dataset_.samples[first]);
        bytes = kBytesWhileDecoding * info.height * info.width * info.channels;
      }
    } catch (const Error&) {
      // Said when its turn comes.
    }
    return std::clamp<int64_t>(kMostDecoding / bytes, 2, 2 * int64_t{options_.workers});
  }

  DecodedImage decode(size_t i) const {
    const Sample& sample = dataset_.samples[i];
    try {
      DecodedImage result{.image = read_stored(sample, options_.read)};
      result.crc32 = crc32_of({result.image.pixels.get(), result.image.bytes()});
      return result;
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      return {.unreadable = error.what()};
    }
  }

  /// Begins to write a shard, once the one before is written.
  void close(OpenShard open) {
    const size_t number = index_.shards.size();
    Json checksums = Json::array();
    Json::object_t unreadable;  // operator[] would search it each time
    std::vector<SafetensorsEntry> entries;
    for (size_t i = 0; i < open.images.size(); ++i) {
      const DecodedImage& image = open.images[i];
      const std::string& name = dataset_.samples[open.first + i].name;
      if (!image.unreadable.empty()) {
        unreadable.emplace_back(name, image.unreadable);
        continue;
      }
      checksums.push_back(checksum_text(image.crc32));
      entries.push_back({.name = name,
                         .dtype = DType::u8,
                         .shape = {image.image.height, image.image.width, image.image.channels}});
    }
    const bool has_16_bits = std::any_of(open.images.begin(), open.images.end(),
                                         [](const DecodedImage& image) { return image.image.bits == 16; });
    any_of_16_bits_ = any_of_16_bits_ || has_16_bits;
    const Json content{{"first", open.first},
                       {"crc32", std::move(checksums)},
                       {"unreadable", std::move(unreadable)},
                       {kHas16Bits, has_16_bits}};
    const std::string prefix = safetensors_prefix(
        entries, {{kFingerprint, fingerprint_},
                  {kContent, content.dump(-1, ' ', false, Json::error_handler_t::replace)}});
    uint64_t offset = prefix.size();
    for (size_t i = 0; i < open.images.size(); ++i) {
      const DecodedImage& image = open.images[i];
      PackedImage packed{.name = dataset_.samples[open.first + i].name, .shard = number};
      packed.unreadable = image.unreadable;
      packed.offset = offset;
      packed.height = image.image.height;
      packed.width = image.image.width;
      packed.channels = image.image.channels;
      packed.crc32 = image.crc32;
      offset += image.image.bytes();
      index_.images.push_back(std::move(packed));
    }
    const fs::path file = files_.shard(number);
    index_.shards.push_back({.file = file.filename().string(),
                             .bytes = offset,
                             .header_crc32 = crc32_of(prefix),
                             .header_bytes = prefix.size()});
    if (writing_.valid()) writing_.get();
    lock_->require_held();
    fs::remove(files_.description());  // of a pack that was finished: from here on it is not
    writing_ = std::async(std::launch::async, [file, prefix, shard = std::move(open)] {
      AtomicFile output(file);
      output.write(prefix);
      for (const DecodedImage& image : shard.images) {
        if (image.image.pixels) output.write(image.image.pixels.get(), image.image.bytes());
      }
      output.commit();
    });
  }

  void finish(PackSummary& summary) {
    summary.images = static_cast<int64_t>(index_.images.size());
    summary.unreadable = report_unreadable(index_.images);
    count(index_.shards, summary);
    index_.white = white();
    lock_->require_held();
    for (const PackShard& shard : index_.shards) require_whole(shard);
    fs::remove(files_.description());  // its tables change under it
    remove_other_shards();
    detail::write_pack_index(files_, dataset_, index_);
  }

  /// Throws where somebody else removed or changed what this process has written or found whole.
  void require_whole(const PackShard& shard) const {
    const fs::path file = files_.folder / shard.file;
    std::error_code error;
    if (fs::file_size(file, error) != shard.bytes || error)
      fail("{}: was removed or changed while others were packed; remove the folder and pack anew",
           file.string());
  }

  /// Those of a pack that had more.
  void remove_other_shards() const {
    const std::string last = index_.shards.empty() ? "" : index_.shards.back().file;
    std::vector<fs::path> others;
    for (const auto& entry : fs::directory_iterator(files_.folder)) {
      const std::string name = entry.path().filename().string();
      if (is_shard(name) && name > last) others.push_back(entry.path());
    }
    for (const fs::path& file : others) fs::remove(file);
  }

  /// What made 16 bits 8, where any image had 16.
  std::optional<int32_t> white() const {
    if (dataset_.packed) return dataset_.white;
    return any_of_16_bits_ ? std::optional(options_.read.white) : std::nullopt;
  }

  /// Returns how many there are. Throws where they are more than may be.
  int64_t report_unreadable(std::span<const PackedImage> images) const {
    constexpr size_t kNamed = 10;
    std::vector<std::string> reasons;
    for (const PackedImage& image : images) {
      if (!image.unreadable.empty()) reasons.push_back(image.unreadable);
    }
    const auto count = static_cast<int64_t>(reasons.size());
    for (size_t i = 0; i < std::min(kNamed, reasons.size()); ++i) say("unreadable, skipped: " + reasons[i]);
    if (reasons.size() > kNamed) say(fmt::format("and {} more; index.csv has them", reasons.size() - kNamed));
    const double lost = static_cast<double>(dataset_.named_samples) -
                        static_cast<double>(dataset_.samples.size()) + static_cast<double>(reasons.size());
    if (reasons.empty() || lost <= options_.max_missing * static_cast<double>(dataset_.named_samples))
      return count;
    fail(
        "{}: {:.0f} of {} images are missing or unreadable, more than --max-missing {:g} allows; the first: "
        "{}; the "
        "images that are packed stay, and a greater --max-missing goes on with them",
        dataset_.root.string(), lost, dataset_.named_samples, options_.max_missing, reasons.front());
  }

  void say(const std::string& line) const {
    if (options_.note) options_.note(line);
  }

  const Dataset& dataset_;
  const PackOptions& options_;
  PackFiles files_;
  std::string fingerprint_;
  detail::PackIndex index_;
  bool any_of_16_bits_ = false;
  std::optional<FolderLock> lock_;  // outlives the shard that is being written
  std::future<void> writing_;
};

}  // namespace

PackSummary write_pack(const Dataset& dataset, const PackOptions& options) {
  return PackWriter(dataset, options).run();
}

}  // namespace cytograd
