// CRC-32 of ISO 3309 and ITU-T V.42, the checksum of PNG, zip and zlib.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace cytograd {

namespace detail {

/// table[k][b]: the checksum's change by byte b followed by k zero bytes ("slicing by 8": eight bytes a
/// step).
inline constexpr auto crc32_tables = [] {
  std::array<std::array<uint32_t, 256>, 8> table{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t c = b;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    table[0][b] = c;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t b = 0; b < 256; ++b) table[k][b] = table[0][table[k - 1][b] & 0xFF] ^ (table[k - 1][b] >> 8);
  return table;
}();

}  // namespace detail

/// The checksum of `bytes`; pass an earlier result as `crc` to go on from it.
constexpr uint32_t crc32(std::span<const uint8_t> bytes, uint32_t crc = 0) {
  const auto& t = detail::crc32_tables;
  uint32_t c = ~crc;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    c ^= uint32_t{bytes[i]} | uint32_t{bytes[i + 1]} << 8 | uint32_t{bytes[i + 2]} << 16 |
         uint32_t{bytes[i + 3]} << 24;
    c = t[7][c & 0xFF] ^ t[6][(c >> 8) & 0xFF] ^ t[5][(c >> 16) & 0xFF] ^ t[4][c >> 24] ^ t[3][bytes[i + 4]] ^
        t[2][bytes[i + 5]] ^ t[1][bytes[i + 6]] ^ t[0][bytes[i + 7]];
  }
  for (; i < bytes.size(); ++i) c = t[0][(c ^ bytes[i]) & 0xFF] ^ (c >> 8);
  return ~c;
}

}  // namespace cytograd
