// TIFF and BigTIFF, through libtiff. Internal to data/image.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "data/raw_image.h"

namespace cytograd {

/// Bytes that libtiff may ask for in any order.
struct ByteSource {
  uint64_t size = 0;
  /// Copies up to `count` bytes from `at` on and returns how many.
  std::function<size_t(uint64_t at, void* to, size_t count)> read;
};

/// From the directories alone, without the pixels. Throws Error naming `file` as read_tiff does.
ImageInfo tiff_info(const std::string& file, const ByteSource& source);

/// Unsigned 8 or 16 bits in strips or tiles, of any compression that libtiff has. RGB, its extra samples dropped; or
/// grey, of which min-is-white is inverted: a page's samples but alpha are the channels, or each of several pages of
/// one size is one. Thumbnails and masks beside the image are passed over; the tag of orientation is not followed.
///
/// Throws Error naming `file` where it is another kind (palette, float, signed, other bits), has alpha before a
/// channel, more than 8 channels or more than 2^28 pixels or 2^30 values, its chain of pages is a circle, or data is
/// missing or corrupted.
RawImage read_tiff(const std::string& file, std::span<const uint8_t> bytes);

}  // namespace cytograd
