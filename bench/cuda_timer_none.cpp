#include "bench/cuda_timer.h"
#include "engine/check.h"

namespace cytograd::bench {

double cuda_seconds(const std::function<void()>&, int) { fail("this build has no CUDA backend"); }
int64_t cuda_cache_bytes() { fail("this build has no CUDA backend"); }

}  // namespace cytograd::bench
