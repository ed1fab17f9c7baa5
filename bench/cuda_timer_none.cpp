#include "bench/cuda_timer.h"
#include "engine/check.h"

namespace cytograd::bench {
namespace {

constexpr const char* kNone = "this build has no CUDA backend";

}  // namespace

std::function<void()> queued_calls(const std::function<void()>&, int) { fail(kNone); }
CudaTime cuda_time(const std::function<void()>&, const std::function<void()>&) { fail(kNone); }
int64_t cuda_cache_bytes() { fail(kNone); }

}  // namespace cytograd::bench
