// Time on the GPU, by events, and its cache. Linked where there is a CUDA backend.
#pragma once

#include <cstdint>
#include <functional>

namespace cytograd::bench {

/// Seconds of one call between two events; the mean of `calls`, as one graph where there are several.
double cuda_seconds(const std::function<void()>& call, int calls);

/// Bytes of the cache that all of the GPU's multiprocessors share; an emulated one has none.
int64_t cuda_cache_bytes();

}  // namespace cytograd::bench
