// Times training steps: forward, loss, backward, SGD with momentum, on inputs that stay the same, as
// peers/torch_train_step.py does; compare_train_step.py runs the two in turn. Beside them, apart: what it takes to load
// and preprocess raw images, each phase by itself, and whole training as `cytograd train` runs it. Every combination of
// the values given is a configuration, which gets a line of JSON.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/context.h"
#include "bench/harness.h"
#include "bench/limits.h"
#include "bench/step_inputs.h"
#include "bench/timing.h"
#include "engine/backend.h"
#include "engine/constant_weights.h"
#include "engine/cpu_info.h"
#include "tools/train_step.h"

namespace cytograd::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::vector<std::string> models{"resnet18"};
  std::vector<int64_t> sizes{64};
  std::vector<int64_t> batches{64};
  std::vector<std::string> dtypes{"f32"};
  std::vector<std::string> devices{"cpu"};
  int64_t channels = 6;
  int64_t classes = 16;
  std::string stem = "7x7";
  std::string inputs = "raw";
  int64_t steps = 20;
  double seconds = 30.0;
  bool autotune = false;
  bool by_op = false;
};

constexpr size_t kStepsAhead = 2;  // as Trainer
constexpr int64_t kWarmUp = 5;
constexpr int64_t kStepsAtLeast = 2;
constexpr int64_t kTrainWarmUp = 3;
constexpr int64_t kQueued = 10;  // steps between two waits for a GPU, as in training none waits for its own

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Calls `act` up to `steps` times, but from the third on no more once `seconds` are over.
template <typename Act>
void repeat(int64_t steps, double seconds, const Act& act) {
  const auto start = Clock::now();
  for (int64_t i = 0; i < steps && (i < kStepsAtLeast || seconds_since(start) < seconds); ++i) act();
}

/// Images a second as `cytograd train` takes its steps: loading runs ahead, results are read late.
double train_rate(const StepConfiguration& c, const Settings& settings, Training& training,
                  StepInputs& inputs) {
  TrainStep step(training.model(), training.optimizer(), nullptr,
                 {.device = c.device, .preprocess = inputs.preprocessing(), .batch = c.batch});
  const int64_t steps = std::max(settings.steps, kStepsAtLeast);
  const auto loader = inputs.loader(kTrainWarmUp + steps);
  std::deque<std::function<TrainStep::Result()>> pending;
  const auto wait_until_left = [&](size_t count) {
    for (; pending.size() > count; pending.pop_front()) pending.front()();
  };
  const auto queue_step = [&] {
    pending.push_back(step.run(*loader->next(), 0.01f));
    wait_until_left(kStepsAhead);
  };
  for (int64_t i = 0; i < kTrainWarmUp; ++i) queue_step();
  wait_until_left(0);
  const auto start = Clock::now();
  int64_t taken = 0;
  repeat(steps, settings.seconds, [&] {
    queue_step();
    ++taken;
  });
  wait_until_left(0);
  return static_cast<double>(taken * c.batch) / seconds_since(start);
}

struct PhaseTimes {
  std::vector<double> phases;  ///< medians of each one's seconds
  double step = 0.0;           ///< of all together with the waits between them
};

PhaseTimes time_phases(const std::vector<Phase>& phases, Device device, const Settings& settings) {
  std::vector<std::vector<double>> seconds(phases.size());
  std::vector<double> steps;
  const auto step = [&] {
    const auto first = Clock::now();
    for (size_t i = 0; i < phases.size(); ++i) {
      const auto start = Clock::now();
      phases[i].run();
      backend(device).synchronize();
      seconds[i].push_back(seconds_since(start));
    }
    steps.push_back(seconds_since(first));
  };
  step();  // a warm-up
  for (std::vector<double>& times : seconds) times.clear();
  steps.clear();
  repeat(settings.steps, settings.seconds, step);
  PhaseTimes medians;
  medians.step = median(steps);
  for (std::vector<double>& times : seconds) medians.phases.push_back(median(std::move(times)));
  return medians;
}

/// The ops of a step, those of the same shapes together, slowest first: their number and medians of their seconds.
nlohmann::ordered_json time_by_op(Training& training, const Settings& settings) {
  using Key = std::pair<std::string, std::string>;
  struct Times {
    int64_t count = 0;
    std::vector<double> forward, backward;  // of each step
  };
  std::map<Key, Times> all;
  training.time_by_op();  // a warm-up
  repeat(settings.steps, settings.seconds, [&] {
    std::map<Key, OpTime> sums;
    for (auto& [key, times] : all) times.count = 0;
    for (const OpTime& time : training.time_by_op()) {
      std::string shapes;
      for (const Shape& shape : time.shapes) {
        if (!shapes.empty()) shapes += ' ';
        shapes += bench::shape_text(shape);
      }
      const Key key(time.op, shapes);
      sums[key].forward += time.forward;
      sums[key].backward += time.backward;
      ++all[key].count;
    }
    for (const auto& [key, sum] : sums) {
      all[key].forward.push_back(sum.forward);
      all[key].backward.push_back(sum.backward);
    }
  });
  struct Line {
    Key key;
    int64_t count;
    double forward, backward;
  };
  std::vector<Line> lines;
  for (auto& [key, times] : all)
    lines.push_back({key, times.count, median(std::move(times.forward)), median(std::move(times.backward))});
  std::sort(lines.begin(), lines.end(),
            [](const Line& a, const Line& b) { return a.forward + a.backward > b.forward + b.backward; });
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Line& line : lines) {
    list.push_back({{"op", line.key.first},
                    {"shapes", line.key.second},
                    {"count", line.count},
                    {"forward_seconds", line.forward},
                    {"backward_seconds", line.backward}});
  }
  return list;
}

/// Of the process so far, in MiB.
int64_t peak_resident() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss >> 10;
}

double cached_matmul_rate(Device device, DType dtype) {
  static std::map<std::pair<Device, DType>, double> rates;
  const auto key = std::pair(device, dtype);
  if (!rates.contains(key)) rates[key] = matmul_rate(device, dtype);
  return rates[key];
}

/// Of steps, and of passes in evaluation, on inputs that are there.
struct Rates {
  std::vector<double> step_seconds;  // each the mean of `queued` steps
  int64_t queued = 1;                // steps between two waits
  double pass_seconds = 0.0;         // median
  size_t peak_bytes = 0;             // of training
  int64_t new_allocations = 0;       // while it was timed
  int64_t peak_resident_mib = 0;     // of training alone, as the peer's
  float last_loss = 0.0f;
};

Rates time_rates(Training& training, const StepConfiguration& c, const Settings& settings) {
  const BufferPool& pool = backend(c.device).pool();
  Rates rates;
  rates.queued = c.device == Device::cuda ? std::clamp<int64_t>(settings.steps, 1, kQueued) : 1;
  const auto seconds_each = [&](const auto& several) {
    std::vector<double> seconds;
    repeat(settings.steps / rates.queued, settings.seconds, [&] {
      const auto start = Clock::now();
      several(rates.queued);
      seconds.push_back(seconds_since(start) / static_cast<double>(rates.queued));
    });
    return seconds;
  };
  const auto steps = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) training.step();
    training.last_loss();
  };
  repeat(kWarmUp, settings.seconds / 5, [&] { steps(1); });
  rates.peak_bytes = training.peak_bytes();
  const int64_t allocations = pool.statistics().system_allocations;
  rates.step_seconds = seconds_each(steps);
  rates.new_allocations = pool.statistics().system_allocations - allocations;
  rates.last_loss = training.last_loss();
  rates.peak_resident_mib = peak_resident();

  const auto passes = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) training.infer();
    backend(c.device).synchronize();
  };
  const ConstantWeights constant;
  passes(1);  // a warm-up
  rates.pass_seconds = median(seconds_each(passes));
  return rates;
}

nlohmann::ordered_json measure(const StepConfiguration& c, const Settings& settings) {
  backend(c.device).set_options({.autotune = settings.autotune});
  const double limit = cached_matmul_rate(c.device, c.dtype);
  StepInputs inputs(c, settings.inputs == "raw");
  Training training(c.model, inputs.x(), inputs.labels());
  const double operations = training.operations();
  const Rates rates = time_rates(training, c, settings);
  const double step = median(rates.step_seconds);

  std::vector<Phase> phases = inputs.phases();
  for (const Phase& phase : training.phases()) phases.push_back(phase);
  const PhaseTimes times = time_phases(phases, c.device, settings);
  nlohmann::ordered_json phase_seconds;
  for (size_t i = 0; i < phases.size(); ++i) phase_seconds[phases[i].name] = times.phases[i];
  nlohmann::ordered_json line{
      {"model", c.model.name},
      {"stem", settings.stem},
      {"size", c.size},
      {"channels", c.model.channels},
      {"classes", c.model.classes},
      {"batch", c.batch},
      {"dtype", dtype_name(c.dtype)},
      {"device", device_name(c.device)},
      {"device_name", c.device == Device::cpu ? cpu_info().model : cuda_description()},
      {"threads", cpu_info().threads},
      {"parameters", training.parameters()},
      {"steps", static_cast<int64_t>(rates.step_seconds.size()) * rates.queued},
      {"median_seconds", step},
      {"min_seconds", *std::min_element(rates.step_seconds.begin(), rates.step_seconds.end())},
      {"images_per_second", static_cast<double>(c.batch) / step},
      {"inference_images_per_second", static_cast<double>(c.batch) / rates.pass_seconds},
      {"gflop_per_image", operations / 1e9 / static_cast<double>(c.batch)},
      {"matmul_gflops", limit / 1e9},
      {"share_of_limit", operations / limit / step},
      {"peak_mib", rates.peak_bytes >> 20},
      {"system_allocations", rates.new_allocations},
      {"phases", phase_seconds},
      {"phased_step_seconds", times.step},
      {"peak_resident_mib", rates.peak_resident_mib},
      {"last_loss", rates.last_loss},  // null where it is not finite
      {"commit", commit()},
      {"compiler", compiler()}};
  if (settings.by_op) line["by_op"] = time_by_op(training, settings);
  if (settings.inputs == "raw") line["train_images_per_second"] = train_rate(c, settings, training, inputs);
  return line;
}

std::vector<StepConfiguration> configurations(const Settings& settings) {
  std::vector<StepConfiguration> all;
  ModelOptions model{.channels = settings.channels, .classes = settings.classes};
  model.stem = settings.stem == "7x7" ? Stem::conv7x7 : Stem::conv3x3;
  for (const std::string& name : settings.models) {
    model.name = name;
    for (const int64_t size : settings.sizes) {
      for (const int64_t batch : settings.batches) {
        for (const std::string& dtype : settings.dtypes) {
          for (const std::string& device : settings.devices)
            all.push_back(
                {model, size, batch, parse_dtype(dtype), device == "cpu" ? Device::cpu : Device::cuda});
        }
      }
    }
  }
  return all;
}

/// Whether every configuration could be measured.
bool run(const Settings& settings) {
  bool all = true;
  for (const StepConfiguration& c : configurations(settings)) {
    try {
      fmt::print("{}\n", measure(c, settings).dump());
      std::fflush(stdout);
    } catch (const std::exception& error) {
      all = false;
      fmt::print(stderr, "train_step_bench: error: {} of {} pixels, batch {}, {} on {}: {}\n", c.model.name,
                 c.size, c.batch, dtype_name(c.dtype), device_name(c.device), error.what());
    }
  }
  return all;
}

template <typename T>
CLI::Option* add_list(CLI::App& app, const std::string& name, std::vector<T>& values) {
  return app.add_option(name, values)->delimiter(',')->expected(1, 100);
}

}  // namespace
}  // namespace cytograd::bench

int main(int argc, char** argv) {
  using cytograd::bench::add_list;
  try {
    cytograd::bench::Settings settings;
    CLI::App app{"Times training steps. Several values, as in --size 64,128: every combination is measured"};
    app.option_defaults()->always_capture_default();
    add_list(app, "--model", settings.models)->check(CLI::IsMember(cytograd::model_names()));
    add_list(app, "--size", settings.sizes)->check(CLI::Range(8, 4096));
    add_list(app, "--batch", settings.batches)->check(CLI::Range(2, 65536));
    add_list(app, "--dtype", settings.dtypes)->check(CLI::IsMember({"f32", "bf16", "f16"}));
    add_list(app, "--device", settings.devices)->check(CLI::IsMember({"cpu", "cuda"}));
    app.add_option("--stem", settings.stem, "Of a ResNet")->check(CLI::IsMember({"7x7", "3x3"}));
    app.add_option("--channels", settings.channels)->check(CLI::Range(1, 8));
    app.add_option("--classes", settings.classes)->check(CLI::Range(2, 100000));
    app.add_option("--inputs", settings.inputs, "raw: loading, preprocessing and training are measured too")
        ->check(CLI::IsMember({"raw", "synthetic"}));
    app.add_option("--steps", settings.steps, "To measure, of each kind")->check(CLI::Range(1, 100000));
    app.add_option("--seconds", settings.seconds,
                   "After which no more steps of a kind are begun, but two are taken")
        ->check(CLI::Range(0.0, 1e5));
    app.add_flag("--autotune", settings.autotune,
                 "On a GPU: measure the algorithms of each convolution first");
    app.add_flag("--by-op", settings.by_op, "Time each op too, with a wait after it");
    CLI11_PARSE(app, argc, argv);
    return cytograd::bench::run(settings) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_step_bench: error: %s\n", error.what());
    return 1;
  }
}
