// PNG files made chunk by chunk, for what no sane writer would write: 16 bits, alpha, wrong lengths. The pixels are
// stored, not compressed.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd::test {

inline std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

inline std::string png_chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type) + std::string(data);
  const auto* bytes = reinterpret_cast<const uint8_t*>(body.data());
  return big_endian(static_cast<uint32_t>(data.size())) + body +
         big_endian(static_cast<uint32_t>(crc32_z(0, bytes, body.size())));
}

struct PngHeader {
  uint32_t width = 1;
  uint32_t height = 1;
  char depth = 8;
  char colour = 0;  ///< 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  char interlace = 0;
};

/// `rows`: per row a filter byte (0) and the samples; at most 65,535 bytes in all. `extra`: chunks before the data.
inline std::string make_png(const PngHeader& header, std::string_view rows, std::string_view extra = "") {
  const auto size = static_cast<uint16_t>(rows.size());
  uint32_t a = 1, b = 0;  // Adler-32
  for (const char c : rows) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  std::string zlib = "\x78\x01\x01";
  for (const uint16_t length : {size, static_cast<uint16_t>(~size)}) {
    zlib += static_cast<char>(length & 0xFF);
    zlib += static_cast<char>(length >> 8);
  }
  zlib += std::string(rows) + big_endian(b << 16 | a);
  const std::string ihdr = big_endian(header.width) + big_endian(header.height) + header.depth +
                           header.colour + std::string(2, '\0') + header.interlace;
  return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", ihdr) + std::string(extra) + png_chunk("IDAT", zlib) +
         png_chunk("IEND", "");
}

}  // namespace cytograd::test
