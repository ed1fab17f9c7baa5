// Results that no cache holds. A plain store first reads what it overwrites, so that an op of two arrays moves three.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/cpu_info.h"
#include "stream.h"

namespace cytograd {

/// Whether a result of so many bytes is written past the caches: where they cannot keep it for its reader anyway.
inline bool is_streamed(int64_t bytes) { return bytes > cpu_info().last_level_cache; }

/// fill(room) writes `count` <= kCount elements, for y: in place or, where kStreamed, by way of the stack.
template <bool kStreamed, int64_t kCount, typename T, typename Fill>
void write(T* y, int64_t count, const Fill& fill) {
  if constexpr (kStreamed) {
    alignas(64) T room[kCount];
    fill(room);
    stream_copy(y, room, count * static_cast<int64_t>(sizeof(T)));
  } else {
    fill(y);
  }
}

/// f(std::bool_constant<streamed>{}). A thread that streamed fences before it is done.
template <typename F>
void choose_streamed(bool streamed, const F& f) {
  if (streamed) {
    f(std::true_type{});
  } else {
    f(std::false_type{});
  }
}

}  // namespace cytograd
