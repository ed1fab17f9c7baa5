#include "bench/timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "bench/cuda_timer.h"
#include "bench/harness.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

constexpr double kShort = 20e-6;       // a GPU's call that is timed with others
constexpr double kRepetition = 50e-3;  // seconds of measurements in a repetition, about
constexpr double kMostMeasurements = 15;
constexpr int kMostCalls = 64;
constexpr int kMostFills = 64;  // a host that is not ahead of so many waits for the GPU

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

Stopwatch::Stopwatch(Device device, bool cold) : device_(device) {
  if (cold) other_ = Tensor::empty({2 * last_level_cache(device) / 4}, DType::f32, device);
}

TimedCall Stopwatch::prepare(const std::function<void()>& call) const {
  call();  // libraries load, and choose among what they have
  const bool gpu = device_ == Device::cuda;
  TimedCall timed{.run = gpu ? queued_calls(call, 1) : call};
  if (!other_.defined()) return timed;
  double fastest = seconds_from_warm(timed);
  for (double spent = fastest; spent < kRepetition / 2;) {
    const double now = seconds_from_warm(timed);
    spent += std::max(now, 1e-5);
    fastest = std::min(fastest, now);
  }
  if (gpu && fastest < kShort) {
    timed.calls = std::min(kMostCalls, static_cast<int>(std::ceil(kShort / std::max(fastest, 1e-7))) * 4);
    timed.run = queued_calls(call, timed.calls);
  }
  const double one = fastest * timed.calls;
  timed.measurements =
      static_cast<int>(std::clamp(kRepetition / std::max(one, 1e-9), 1.0, kMostMeasurements));
  return timed;
}

double Stopwatch::seconds(const TimedCall& timed) {
  if (!other_.defined()) return seconds_from_warm(timed);
  if (device_ == Device::cpu) {
    flush();
    return seconds_from_warm(timed);
  }
  while (true) {
    const CudaTime time = cuda_time(
        [&] {
          flush();
          if (timed.calls > 1) timed.run();
        },
        timed.run);
    if (time.queued_ahead || fills_ == kMostFills) {
      if (!time.queued_ahead && !std::exchange(told_, true))
        fmt::print(stderr, "timed with the host's time to queue it\n");
      return time.seconds / timed.calls;
    }
    fills_ *= 2;
  }
}

void Stopwatch::flush() {
  for (int i = 0; i < fills_; ++i) backend(device_).fill(other_, 1.0f);
}

double Stopwatch::seconds_from_warm(const TimedCall& timed) const {
  if (device_ == Device::cuda) return cuda_time(timed.run, timed.run).seconds / timed.calls;
  const auto start = std::chrono::steady_clock::now();
  timed.run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace cytograd::bench
