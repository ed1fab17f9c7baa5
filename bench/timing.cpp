#include "bench/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/cuda_timer.h"
#include "bench/harness.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

constexpr double kShort = 20e-6;       // a GPU's call that is timed with others
constexpr double kRepetition = 50e-3;  // seconds of measurements in a repetition, about
constexpr double kMostMeasurements = 15;
constexpr int kMostCalls = 64;

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

Stopwatch::Stopwatch(Device device, bool cold) : device_(device) {
  if (cold) other_ = Tensor::empty({2 * last_level_cache(device) / 4}, DType::f32, device);
}

Stopwatch::Plan Stopwatch::warm_up(const std::function<void()>& call) const {
  double fastest = timed(call, 1);
  if (!other_.defined()) return {};
  for (double spent = fastest; spent < kRepetition / 2;) {
    const double now = timed(call, 1);
    spent += std::max(now, 1e-5);
    fastest = std::min(fastest, now);
  }
  Plan plan;
  if (device_ == Device::cuda && fastest < kShort)
    plan.calls = std::min(kMostCalls, static_cast<int>(std::ceil(kShort / std::max(fastest, 1e-7))) * 4);
  const double one = fastest * plan.calls;
  plan.measurements = static_cast<int>(std::clamp(kRepetition / std::max(one, 1e-9), 1.0, kMostMeasurements));
  return plan;
}

double Stopwatch::seconds(const std::function<void()>& call, int calls) {
  flush();
  return timed(call, calls);
}

void Stopwatch::flush() {
  if (!other_.defined()) return;
  backend(device_).fill(other_, 1.0f);
  backend(device_).synchronize();
}

double Stopwatch::timed(const std::function<void()>& call, int calls) const {
  if (device_ == Device::cuda) return cuda_seconds(call, calls);
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace cytograd::bench
