// Plain stores in place of those that go past the caches; x86/stream.h has what they are for.
#pragma once

#include <cstdint>
#include <cstring>

namespace cytograd {

inline void stream_copy(void* destination, const void* source, int64_t bytes) {
  std::memcpy(destination, source, static_cast<size_t>(bytes));
}

inline void stream_fence() {}

}  // namespace cytograd
