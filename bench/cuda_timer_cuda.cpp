#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "bench/cuda_backend.h"
#include "bench/cuda_timer.h"

namespace cytograd::bench {
std::function<void()> queued_calls(const std::function<void()>& call, int calls) {
  std::function<void()> queue = [call, calls] {
    for (int i = 0; i < calls; ++i) call();
  };
  try {
    queue = cuda().capture(queue);
  } catch (const std::exception& error) {
    fmt::print(stderr, "queued one by one: {}\n", error.what());
  }
  queue();  // a graph is uploaded
  cuda().synchronize();
  return queue;
}

CudaTime cuda_time(const std::function<void()>& before, const std::function<void()>& work) {
  device::Event start(true), end(true);
  before();
  start.record(cuda().stream());
  work();
  end.record(cuda().stream());
  const bool queued_ahead = !start.passed();
  end.wait();
  return {.seconds = 1e-3 * end.milliseconds_since(start), .queued_ahead = queued_ahead};
}

int64_t cuda_cache_bytes() { return static_cast<int64_t>(device::info().l2_bytes); }

}  // namespace cytograd::bench
