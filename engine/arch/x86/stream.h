// Stores that go past the caches, of x86-64. CMake picks this or the portable one.
#pragma once

#include <emmintrin.h>

#include <cstdint>
#include <cstring>

namespace cytograd {

/// memcpy to a place that is not read soon: its lines are not fetched to be overwritten, which a plain store to memory
/// costs. Until stream_fence, other threads may not see it.
inline void stream_copy(void* destination, const void* source, int64_t bytes) {
  auto* to = static_cast<char*>(destination);
  const auto* from = static_cast<const char*>(source);
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || bytes % 16 != 0) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
    return;
  }
  for (int64_t i = 0; i < bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
}

inline void stream_fence() { _mm_sfence(); }

}  // namespace cytograd
