// The safetensors format (https://huggingface.co/docs/safetensors): the length of a JSON header in 8 bytes,
// the header, and the tensors' bytes without gaps. Files are taken to be hostile.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/named_tensor.h"

namespace cytograd {

using SafetensorsMetadata = std::map<std::string, std::string>;

/// Where a tensor lies in a file.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  uint64_t offset = 0;  ///< of the first byte, from the start of the file

  uint64_t bytes() const { return static_cast<uint64_t>(shape.elements()) * size_of(dtype); }
};

struct SafetensorsHeader {
  SafetensorsMetadata metadata;
  std::vector<SafetensorsEntry> entries;  ///< in the order of their offsets
  uint64_t file_bytes = 0;
};

struct SafetensorsFile {
  SafetensorsMetadata metadata;
  std::vector<NamedTensor> tensors;  ///< on the CPU, in the order of the file

  /// nullptr where there is no tensor of that name.
  const Tensor* find(std::string_view name) const;
};

/// Reads and checks all but the tensors' bytes, for those who map the file. The entries cover the file from
/// the header's end to its own without gap or overlap. Throws Error naming the file, and the tensor or the
/// header's place, where the file is unreadable, truncated or malformed, or has a type other than U8, I32,
/// I64, F32, BF16, F16 or more than 5 axes.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

/// Reads the whole file. Throws as above.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

/// Writes tensors of any device, those with larger elements first so that each is aligned to its element, and
/// renames into place. Throws Error where a name is not UTF-8 or the disk refuses, CheckError where a name
/// occurs twice.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const SafetensorsMetadata& metadata = {});

/// The first bytes of a file whose tensors follow in the order given, whatever their `offset` says: length
/// and header, a multiple of 8 bytes. For writers that stream. Throws as write_safetensors.
std::string safetensors_prefix(std::span<const SafetensorsEntry> entries,
                               const SafetensorsMetadata& metadata);

}  // namespace cytograd
