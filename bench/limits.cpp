#include "bench/limits.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "engine/backend.h"
#include "engine/cpu_info.h"
#include "engine/philox.h"

namespace cytograd::bench {
namespace {

constexpr std::chrono::milliseconds kMeasuring{500};
constexpr int kRoundsAtLeast = 5;

bool is_emulated(Device device) { return device == Device::cuda && cuda_is_emulated(); }

/// Seconds of a call in the fastest of several rounds. A GPU is given many calls a round, since the wait at its end
/// takes as long as a small kernel.
template <typename Work>
double best_seconds(Device device, const Work& work) {
  using Clock = std::chrono::steady_clock;
  const int calls = is_gpu(device) ? 10 : 1;
  const auto round = [&] {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) work();
    backend(device).synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count() / calls;
  };
  round();  // libraries load, pages are touched, clocks rise
  double best = round();
  const auto end = Clock::now() + kMeasuring;
  for (int rounds = 1; rounds < kRoundsAtLeast || Clock::now() < end; ++rounds)
    best = std::min(best, round());
  return best;
}

/// Numbers as they occur: a GPU multiplies constants at a higher clock, for they switch few of its wires.
Tensor random_matrix(int64_t side, DType dtype, Device device) {
  constexpr size_t kDrawn = 65521;  // a prime: rows differ, and no more need be drawn
  Philox philox(1);
  std::vector<float> values(static_cast<size_t>(side * side));
  for (size_t i = 0; i < values.size(); ++i) values[i] = i < kDrawn ? philox.normal() : values[i - kDrawn];
  return backend(Device::cpu).cast(Tensor::from(values, {side, side}), dtype).to(device);
}

int64_t copied_bytes(Device device) {
  if (is_emulated(device)) return int64_t{1} << 20;
  if (is_gpu(device)) return int64_t{1} << 30;
  return std::max(4 * cpu_info().last_level_cache, int64_t{256} << 20);
}

}  // namespace

bool is_gpu(Device device) { return device == Device::cuda && !cuda_is_emulated(); }

double matmul_rate(Device device, DType dtype) {
  // Where a CPU widens bf16, its products are f32's, and f32's rate is the limit.
  if (device == Device::cpu && dtype == DType::bf16 && !cpu_info().native_bf16) dtype = DType::f32;
  const int64_t side = is_emulated(device) ? 64 : is_gpu(device) ? 8192 : 2048;
  const Tensor a = random_matrix(side, dtype, device);
  const Tensor b = a.clone();
  // The gradient of a weight is a product and nothing else: no bias is added, no operand and no result is cast.
  const double seconds = best_seconds(device, [&] { backend(device).linear_backward_weight(a, b); });
  return 2.0 * static_cast<double>(side * side * side) / seconds;
}

double copy_rate(Device device) {
  const int64_t bytes = copied_bytes(device);
  const Tensor source = Tensor::full({bytes}, 1.0f, DType::u8, device);
  Tensor destination = Tensor::zeros({bytes}, DType::u8, device);
  const double seconds = best_seconds(device, [&] { backend(device).copy(destination, source); });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

}  // namespace cytograd::bench
