// CRC-32 as PNG, gzip and Python's zlib.crc32 have it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cytograd {

uint32_t crc32_of(std::span<const uint8_t> bytes);
uint32_t crc32_of(std::string_view text);

/// Eight hexadecimal digits.
std::string checksum_text(uint32_t crc);

}  // namespace cytograd
