#include "data/checksum.h"

#include <fmt/format.h>
#include <libdeflate.h>

namespace cytograd {

uint32_t crc32_of(std::span<const uint8_t> bytes) { return libdeflate_crc32(0, bytes.data(), bytes.size()); }

uint32_t crc32_of(std::string_view text) {
  return crc32_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::string checksum_text(uint32_t crc) { return fmt::format("{:08x}", crc); }

}  // namespace cytograd
