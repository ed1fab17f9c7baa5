#include "data/image_format.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "data/checksum.h"

namespace cytograd {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr std::array<uint8_t, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr std::array<uint8_t, 3> kJpegSignature{0xFF, 0xD8, 0xFF};
constexpr std::array<uint8_t, 2> kBmpSignature{'B', 'M'};
// Of both byte orders, and those of BigTIFF.
constexpr std::array<std::array<uint8_t, 4>, 4> kTiffSignatures{
    {{'I', 'I', 42, 0}, {'M', 'M', 0, 42}, {'I', 'I', 43, 0}, {'M', 'M', 0, 43}}};

bool starts_with(Bytes bytes, Bytes prefix) {
  return bytes.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

uint32_t little_endian(Bytes bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

// A chunk is length, type, data, CRC of type and data (PNG specification, section 5.3).
std::string png_flaw(Bytes bytes) {
  for (size_t at = kPngSignature.size(); bytes.size() - at >= 12;) {
    const size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) break;
    const Bytes body = bytes.subspan(at + 4, 4 + length);
    if (crc32_of(body) != big_endian(bytes, at + 8 + length, 4))
      return "is corrupted (a PNG chunk has a wrong checksum)";
    const std::string_view type(reinterpret_cast<const char*>(body.data()), 4);
    if (type == "IEND") return "";
    at += 12 + length;
  }
  return "is truncated (a PNG without its end)";
}

/// Blue, green, red and nothing of each colour, as stb_image counts them: between the header and the pixels. Of a BMP
/// of up to 8 bits that is none of OS/2's; empty where that is beyond `bytes`.
Bytes bmp_palette(Bytes bytes) {
  const size_t start = size_t{14} + little_endian(bytes, 14, 4), end = little_endian(bytes, 10, 4);
  return start < end && end <= bytes.size() ? bytes.subspan(start, (end - start) / 4 * 4) : Bytes();
}

std::string bmp_flaw(Bytes bytes) {
  const std::string truncated = "is truncated (a BMP without all its rows)";
  if (bytes.size() < 30) return truncated;
  const uint64_t offset = little_endian(bytes, 10, 4);
  const bool core = little_endian(bytes, 14, 4) == 12;  // OS/2: sizes of 16 bits
  const uint64_t width = core ? little_endian(bytes, 18, 2) : little_endian(bytes, 18, 4);
  const int64_t height = core ? static_cast<int64_t>(little_endian(bytes, 20, 2))
                              : static_cast<int32_t>(little_endian(bytes, 22, 4));  // negative: top row first
  const uint64_t bits = little_endian(bytes, core ? 24 : 28, 2);
  // stb_image knows compressed pixels by 1 and 2, and takes what is a negative number to it for none.
  if (!core && bytes.size() >= 34 && little_endian(bytes, 30, 4) > INT32_MAX)
    return "is corrupted (a BMP of no known compression)";
  const uint64_t stride = (width * bits + 31) / 32 * 4;
  const uint64_t rows = static_cast<uint64_t>(std::abs(height));
  if (offset > bytes.size() || (stride > 0 && rows > (bytes.size() - offset) / stride)) return truncated;
  if (bits != 1 && bits != 4 && bits != 8) return "";
  if (core)
    return "is a BMP of OS/2 with a palette, which is not supported";  // stb_image reads the palette wrongly
  const int64_t colours = static_cast<int64_t>(bmp_palette(bytes).size() / 4);
  // stb_image does not look whether a pixel's colour is one of them.
  const IndexRows indices{bytes.subspan(offset), static_cast<int64_t>(rows), static_cast<int64_t>(width),
                          static_cast<int64_t>(stride), static_cast<int64_t>(bits)};
  return indices.are_below(colours) ? "" : "is corrupted (its palette lacks the colour of a pixel)";
}

}  // namespace

bool IndexRows::are_below(int64_t colours) const {
  if (colours >= int64_t{1} << bits) return true;
  const auto mask = static_cast<uint8_t>((1u << bits) - 1u);
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t bit = 0; bit < width * bits; bit += bits) {
      const auto index = rows[static_cast<size_t>(r * stride + bit / 8)] >> (8 - bits - bit % 8) & mask;
      if (index >= colours) return false;
    }
  }
  return true;
}

bool is_grey_bmp(Bytes start) {
  if (image_format(start) != ImageFormat::bmp || start.size() < 30) return false;
  const uint32_t bits = little_endian(start, 28, 2);
  if (little_endian(start, 14, 4) == 12 || bits == 0 || bits > 8) return false;
  const Bytes palette = bmp_palette(start);
  for (size_t i = 0; i < palette.size(); i += 4)
    if (palette[i] != palette[i + 1] || palette[i] != palette[i + 2]) return false;
  return !palette.empty();
}

uint32_t big_endian(Bytes bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

std::vector<PngChunk> png_chunks(Bytes bytes) {
  std::vector<PngChunk> chunks;
  for (size_t at = kPngSignature.size(); chunks.empty() || chunks.back().type != "IEND";) {
    const size_t length = big_endian(bytes, at, 4);
    chunks.push_back(
        {{reinterpret_cast<const char*>(bytes.data()) + at + 4, 4}, bytes.subspan(at + 8, length)});
    at += 12 + length;
  }
  return chunks;
}

ImageFormat image_format(Bytes bytes) {
  if (starts_with(bytes, kPngSignature)) return ImageFormat::png;
  if (starts_with(bytes, kJpegSignature)) return ImageFormat::jpeg;
  if (starts_with(bytes, kBmpSignature)) return ImageFormat::bmp;
  for (const auto& signature : kTiffSignatures)
    if (starts_with(bytes, signature)) return ImageFormat::tiff;
  return ImageFormat::unknown;
}

std::string picture_flaw(ImageFormat format, Bytes bytes) {
  switch (format) {
    case ImageFormat::png:
      return png_flaw(bytes);
    case ImageFormat::bmp:
      return bmp_flaw(bytes);
    case ImageFormat::jpeg:
    case ImageFormat::tiff:
      return "";
    case ImageFormat::unknown:
      break;
  }
  return "is not a PNG, JPEG, BMP or TIFF picture";
}

}  // namespace cytograd
