// Times training steps: forward, loss, backward, SGD with momentum, on synthetic inputs. Prints a line of JSON, as
// peers/torch_train_step.py does; compare_train_step.py runs the two in turn.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "engine/backend.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/parallel.h"
#include "engine/philox.h"
#include "models/model.h"

namespace cytograd {
namespace {

struct Settings {
  ModelOptions model{.name = "resnet18", .channels = 1, .classes = 16};
  std::string stem = "7x7";
  std::string dtype = "f32";
  int64_t size = 64;
  int64_t batch = 64;
  int64_t steps = 20;
};

constexpr int64_t kWarmUp = 5;

Tensor random_images(const Shape& shape, DType dtype) {
  Philox philox(1);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = philox.normal();
  return backend(Device::cpu).cast(Tensor::from(values, shape), dtype);
}

void run(const Settings& settings) {
  ModelOptions options = settings.model;
  options.stem = settings.stem == "7x7" ? Stem::conv7x7 : Stem::conv3x3;
  const auto model = make_model(options);
  const std::vector<Parameter> parameters = model->state().parameters;
  Optimizer optimizer(parameters, {.kind = OptimizerKind::sgd, .momentum = 0.9f});
  optimizer.set_learning_rate(0.01f);
  std::vector<Variable> leaves;
  for (const Parameter& parameter : parameters) leaves.push_back(*parameter.variable);

  const Tensor x = random_images({settings.batch, settings.size, settings.size, options.channels},
                                 parse_dtype(settings.dtype));
  std::vector<int64_t> classes(static_cast<size_t>(settings.batch));
  for (size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<int64_t>(i) % options.classes;
  const Tensor labels = Tensor::from(classes, {settings.batch});

  const auto step = [&] {
    Tape tape;
    const Variable loss = softmax_cross_entropy(model->forward(x, {.training = true}), labels, {}, {});
    optimizer.step(tape.backward(loss, leaves));
    return loss.value().item();  // waits for the device
  };
  for (int64_t i = 0; i < kWarmUp; ++i) step();
  const int64_t allocations = backend(Device::cpu).pool().statistics().system_allocations;
  std::vector<double> seconds;
  for (int64_t i = 0; i < settings.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const PoolStatistics pool = backend(Device::cpu).pool().statistics();
  fmt::print(
      "{{\"model\": \"{}\", \"stem\": \"{}\", \"size\": {}, \"channels\": {}, \"batch\": {}, \"dtype\": "
      "\"{}\", "
      "\"steps\": {}, \"threads\": {}, \"median_seconds\": {:.5f}, \"min_seconds\": {:.5f}, "
      "\"images_per_second\": "
      "{:.1f}, \"peak_mib\": {}, \"system_allocations\": {}}}\n",
      options.name, settings.stem, settings.size, options.channels, settings.batch, settings.dtype,
      settings.steps, cpu_threads(), median, seconds.front(), static_cast<double>(settings.batch) / median,
      pool.peak_bytes_in_use >> 20, pool.system_allocations - allocations);
}

}  // namespace
}  // namespace cytograd

int main(int argc, char** argv) {
  try {
    cytograd::Settings settings;
    CLI::App app{"Times training steps on synthetic inputs"};
    app.option_defaults()->always_capture_default();
    app.add_option("--model", settings.model.name)->check(CLI::IsMember(cytograd::model_names()));
    app.add_option("--stem", settings.stem)->check(CLI::IsMember({"7x7", "3x3"}));
    app.add_option("--size", settings.size)->check(CLI::Range(1, 4096));
    app.add_option("--channels", settings.model.channels)->check(CLI::Range(1, 64));
    app.add_option("--classes", settings.model.classes)->check(CLI::Range(2, 100000));
    app.add_option("--batch", settings.batch)->check(CLI::Range(2, 65536));
    app.add_option("--dtype", settings.dtype)->check(CLI::IsMember({"f32", "bf16"}));
    app.add_option("--steps", settings.steps)->check(CLI::Range(1, 100000));
    CLI11_PARSE(app, argc, argv);
    cytograd::run(settings);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_step_bench: error: %s\n", error.what());
    return 1;
  }
}
