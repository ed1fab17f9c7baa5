// A decoded picture before its values become 8 bits. Internal to data/: the formats of images.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "data/image.h"
#include "engine/check.h"

namespace cytograd {

/// Interleaved as Image; the one of the two that `info.bits` says is filled.
struct RawImage {
  ImageInfo info;
  std::vector<uint8_t> bytes;    ///< of 8 bits
  std::vector<uint16_t> levels;  ///< of 16 bits, in this machine's byte order
};

/// Height times width of any picture.
inline constexpr int64_t kMostPixels = int64_t{1} << 28;
/// Those times the values of a pixel.
inline constexpr int64_t kMostValues = int64_t{1} << 30;

/// Whether a file of so many bytes may hold the values: of a blank picture, compression makes no less than a byte of 64
/// KB.
inline bool are_enough_bytes(uint64_t bytes, const ImageInfo& info) {
  constexpr uint64_t kMostCompressed = uint64_t{1} << 16;
  return static_cast<uint64_t>(info.height * info.width * info.channels * info.bits / 8) / kMostCompressed <=
         bytes;
}

/// So that a few bytes cannot claim gigabytes.
inline void require_enough_bytes(const std::string& name, uint64_t bytes, const ImageInfo& info) {
  if (!are_enough_bytes(bytes, info))
    fail("{}: is corrupted (its {} bytes cannot be {}x{} pixels of {} channels)", name, bytes, info.width,
         info.height, info.channels);
}

/// Memory that a decoder found none of. No fault of the picture: it must not be skipped.
[[noreturn]] inline void fail_for_memory(const std::string& name) {
  throw std::system_error(std::make_error_code(std::errc::not_enough_memory), name);
}

}  // namespace cytograd
