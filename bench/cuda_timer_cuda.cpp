#include "bench/cuda_timer.h"
#include "engine/backend_cuda.h"

namespace cytograd::bench {

double cuda_seconds(const std::function<void()>& call, int calls) {
  auto& cuda = dynamic_cast<CudaBackend&>(backend(Device::cuda));
  const std::function<void()> work = calls == 1 ? call : cuda.capture([&] {
    for (int i = 0; i < calls; ++i) call();
  });
  if (calls > 1) work();  // the first launch uploads the graph
  device::Event start(true), end(true);
  start.record(cuda.stream());
  work();
  end.record(cuda.stream());
  end.wait();
  return 1e-3 * end.milliseconds_since(start) / calls;
}

int64_t cuda_cache_bytes() { return static_cast<int64_t>(device::info().l2_bytes); }

}  // namespace cytograd::bench
