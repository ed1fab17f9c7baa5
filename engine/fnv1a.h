// FNV-1a of 64 bits (isthe.com/chongo/tech/comp/fnv): a hash of short texts that is the same everywhere, for ever.
#pragma once

#include <cstdint>
#include <string_view>

namespace cytograd {

inline constexpr uint64_t kFnv1aStart = 0xcbf29ce484222325u;

/// `before`: the hash of what stands in front of the text.
constexpr uint64_t fnv1a(std::string_view text, uint64_t before = kFnv1aStart) {
  for (const char c : text) before = (before ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return before;
}

}  // namespace cytograd
