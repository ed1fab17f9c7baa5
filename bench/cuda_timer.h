// Time on the GPU, by events, and its cache. Linked where there is a CUDA backend.
#pragma once

#include <cstdint>
#include <functional>

namespace cytograd::bench {

/// What queues `calls` of a call, and has done so once: as one graph, or one by one where they cannot be captured, as a
/// library's that wait for the GPU; standard error then says so.
std::function<void()> queued_calls(const std::function<void()>& call, int calls);

struct CudaTime {
  double seconds = 0.0;
  /// Whether the host had queued everything when the GPU came to it. Else the GPU may have waited, and the time has
  /// some of the host's in it.
  bool queued_ahead = false;
};

/// The GPU's time for `work`, between two events. `before` is queued first, to keep the GPU busy meanwhile.
CudaTime cuda_time(const std::function<void()>& before, const std::function<void()>& work);

/// Bytes of the cache that all of the GPU's multiprocessors share; an emulated one has none.
int64_t cuda_cache_bytes();

}  // namespace cytograd::bench
