// The tables of a pack. Internal to data/pack*.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/pack.h"

namespace cytograd::detail {

/// What pack.json and the tables beside it say.
struct PackIndex {
  std::string fingerprint;            ///< of what was packed: pack_fingerprint
  std::optional<int32_t> white = {};  ///< where the images have 16 bits
  std::vector<PackShard> shards;
  std::vector<PackedImage> images;  ///< aligned with the dataset's samples
};

/// 32 bits that tell datasets and settings apart, as text.
std::string pack_fingerprint(const Dataset& dataset, const PackOptions& options);

/// Writes index.csv, missing.csv, tables/ and, last, pack.json.
void write_pack_index(const PackFiles& files, const Dataset& dataset, const PackIndex& index);

/// Throws Error where other images are missing in a dataset than when it was packed as `packed`, or its tables, of
/// which the pack has copies, have changed.
void require_same_tables(const PackFiles& files, const Dataset& packed, const Dataset& dataset);

/// Whether the file is the description of a pack, of whatever version, sound or not.
bool describes_pack(const std::filesystem::path& file);

/// Whether an image can have this many pixels and channels.
bool is_image(int64_t height, int64_t width, int64_t channels);

/// The fingerprint in pack.json, whose own checksum is compared.
std::string read_pack_fingerprint(const PackFiles& files);

}  // namespace cytograd::detail
