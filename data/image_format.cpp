#include "data/image_format.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
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

// A Huffman table is a byte, 16 counts and as many values as the counts add up to, at most 256 (T.81,
// B.2.4.2). stb_image 2.27 writes out of bounds where they are more.
bool huffman_tables_are_sound(Bytes tables) {
  while (!tables.empty()) {
    if (tables.size() < 17) return false;
    const size_t values = std::accumulate(tables.begin() + 1, tables.begin() + 17, size_t{0});
    if (values > 256 || values > tables.size() - 17) return false;
    tables = tables.subspan(17 + values);
  }
  return true;
}

// Markers stand in segments with a length, but behind a start of scan come coded bytes in which 0xFF is
// followed by 0x00 or by a restart marker (ITU-T T.81, annex B).
std::string jpeg_flaw(Bytes bytes) {
  const std::string truncated = "is truncated (a JPEG without its end)";
  constexpr uint8_t kEndOfImage = 0xD9, kStartOfScan = 0xDA, kHuffmanTables = 0xC4;
  size_t at = 2;
  while (true) {
    if (bytes.size() - at < 2) return truncated;
    if (bytes[at] != 0xFF) return "is corrupted (a JPEG marker is not where it should be)";
    const uint8_t marker = bytes[at + 1];
    if (marker == kEndOfImage) return "";
    if (marker == 0xFF) {  // A fill byte.
      ++at;
      continue;
    }
    at += 2;
    if (bytes.size() - at < 2) return truncated;
    const size_t length = big_endian(bytes, at, 2);
    if (length > bytes.size() - at) return truncated;
    if (length < 2 ||
        (marker == kHuffmanTables && !huffman_tables_are_sound(bytes.subspan(at + 2, length - 2))))
      return "is corrupted (a JPEG segment does not hold what it should)";
    at += length;
    if (marker != kStartOfScan) continue;
    const auto is_coded = [](uint8_t next) { return next == 0 || (next >= 0xD0 && next <= 0xD7); };
    while (at + 1 < bytes.size() && (bytes[at] != 0xFF || is_coded(bytes[at + 1]))) ++at;
  }
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
  const uint64_t stride = (width * bits + 31) / 32 * 4;
  const uint64_t rows = static_cast<uint64_t>(std::abs(height));
  if (offset > bytes.size() || (stride > 0 && rows > (bytes.size() - offset) / stride)) return truncated;
  return "";
}

}  // namespace

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
    case ImageFormat::jpeg:
      return jpeg_flaw(bytes);
    case ImageFormat::bmp:
      return bmp_flaw(bytes);
    case ImageFormat::tiff:
      return "";
    case ImageFormat::unknown:
      break;
  }
  return "is not a PNG, JPEG, BMP or TIFF picture";
}

}  // namespace cytograd
