// Whether the bytes of a picture are all there. stb_image decodes several kinds of truncated or corrupted
// file without a word, which would put grey or torn images into a training set. Internal to data/image.cpp
// and png_decode.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

enum class ImageFormat { png, jpeg, bmp, tiff, unknown };

/// From the first bytes, whatever the file's name.
ImageFormat image_format(std::span<const uint8_t> bytes);

/// What is wrong with the file as a whole, or "". PNG: every chunk within the file and of the right CRC, up
/// to IEND. BMP: all rows there, and the colours of all pixels. JPEG and TIFF: always "", for their libraries tell what
/// is missing.
std::string picture_flaw(ImageFormat format, std::span<const uint8_t> bytes);

/// Enough of a file for `image_format`, `is_grey_bmp` and the bit depth of a PNG.
inline constexpr size_t kImageStartBytes = 2048;

/// Whether the file, of which kImageStartBytes are enough, is a BMP of a grey palette, the only grey that BMP knows.
bool is_grey_bmp(std::span<const uint8_t> start);

/// Pixels that are indices into a palette, several a byte, the highest bits first.
struct IndexRows {
  std::span<const uint8_t> rows;
  int64_t height = 0;
  int64_t width = 0;
  int64_t stride = 0;  ///< bytes of a row
  int64_t bits = 8;    ///< of an index: 1, 2, 4 or 8

  bool are_below(int64_t colours) const;
};

struct PngChunk {
  std::string_view type;  ///< four bytes
  std::span<const uint8_t> data;
};

/// The chunks of a PNG in which picture_flaw finds nothing, in their order, up to IEND.
std::vector<PngChunk> png_chunks(std::span<const uint8_t> bytes);

/// The number in `count` bytes, 1 to 4, from `at` on, the highest first.
uint32_t big_endian(std::span<const uint8_t> bytes, size_t at, size_t count);

}  // namespace cytograd
