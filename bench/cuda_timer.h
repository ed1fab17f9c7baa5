// Time on the GPU, by events. Linked where there is a CUDA backend.
#pragma once

#include <functional>

namespace cytograd::bench {

/// Seconds of one call between two events; the mean of `calls`, as one graph where there are several.
double cuda_seconds(const std::function<void()>& call, int calls);

}  // namespace cytograd::bench
