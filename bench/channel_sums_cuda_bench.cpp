// Times channel_sums on a GPU by both of its methods. An emulated one gets few pixels: its figures say that both run.
#include <benchmark/benchmark.h>

#include "engine/backend_cuda.h"

namespace cytograd {
namespace {

void channel_sums_by(benchmark::State& state, ChannelSumsMethod method) {
  if (!why_no_cuda().empty()) {
    state.SkipWithError(why_no_cuda().c_str());
    return;
  }
  auto& cuda = dynamic_cast<CudaBackend&>(backend(Device::cuda));
  const int64_t channels = state.range(0);
  const int64_t pixels = (cuda_is_emulated() ? int64_t{1} << 18 : int64_t{1} << 30) / channels;
  const Tensor x = Tensor::full({pixels, channels}, 77.0f, DType::u8, Device::cuda);
  Tensor sums = Tensor::zeros({channels + 1, channels}, DType::i64, Device::cuda);
  cuda.channel_sums_by(method, x, sums);
  cuda.synchronize();
  for (auto _ : state) {
    cuda.channel_sums_by(method, x, sums);
    cuda.synchronize();
  }
  state.SetBytesProcessed(pixels * channels * state.iterations());
  state.SetItemsProcessed(pixels * state.iterations());
}
void kernel(benchmark::State& state) { channel_sums_by(state, ChannelSumsMethod::kernel); }
void gemm(benchmark::State& state) { channel_sums_by(state, ChannelSumsMethod::gemm); }
BENCHMARK(kernel)->ArgName("channels")->DenseRange(1, 8)->UseRealTime();
BENCHMARK(gemm)->ArgName("channels")->DenseRange(1, 8)->UseRealTime();

}  // namespace
}  // namespace cytograd

BENCHMARK_MAIN();
