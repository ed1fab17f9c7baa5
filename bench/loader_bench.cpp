// Images a second that the loader hands out, with decoding (from files) and without (from a pack, from memory), and how
// long a step of a given length waits for them. Sources take turns; medians are printed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "bench/scratch_folder.h"
#include "bench/timing.h"
#include "data/loader.h"
#include "data/pack.h"

namespace cytograd::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string data;
  LoaderOptions loader{.batch = 32, .shuffle = true, .augmentation = Augmentation{}};
  int64_t batches = 20;
  int64_t rounds = 5;
  double step_milliseconds = 0.0;
};

/// Where images come from.
class Source {
 public:
  Source(std::string name, Dataset dataset, const Settings& settings, size_t cache_bytes)
      : name_(std::move(name)),
        dataset_(std::move(dataset)),
        settings_(settings),
        store_(dataset_,
               {.cache_bytes = cache_bytes, .crop_side = settings.loader.crop * settings.loader.shrink}) {
    store_.preload(settings.loader.workers, {});
    // As many samples as the batches take, again and again the same.
    for (int64_t i = 0; i < settings.batches * settings.loader.batch; ++i)
      samples_.push_back(i % static_cast<int64_t>(dataset_.samples.size()));
  }

  void run(int64_t round) {
    const auto start = Clock::now();
    Loader loader(store_, samples_, {}, settings_.loader, round);
    int64_t images = 0;
    while (const auto batch = loader.next()) {
      images += batch->images.dim(0);
      std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(settings_.step_milliseconds));
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    rates_.push_back(static_cast<double>(images) / seconds);
    stalls_.push_back(1e3 * loader.stall_seconds() / static_cast<double>(loader.batches()));
  }

  void print() const {
    fmt::print(
        "{{\"source\": \"{}\", \"images_per_second\": {:.0f}, \"stall_milliseconds_per_step\": {:.2f}}}\n",
        name_, median(rates_), median(stalls_));
  }

 private:
  std::string name_;
  Dataset dataset_;
  const Settings& settings_;
  ImageStore store_;
  std::vector<int64_t> samples_;
  std::vector<double> rates_;
  std::vector<double> stalls_;
};

void run(const Settings& settings) {
  const ScratchFolder scratch;
  const Dataset dataset = open_dataset(settings.data);
  write_pack(dataset, {.out = scratch.path() / "pack", .max_missing = 1.0});
  Source files("files", dataset, settings, 0);
  Source pack("pack", open_pack(scratch.path() / "pack"), settings, 0);
  Source memory("memory", dataset, settings, SIZE_MAX);
  for (int64_t round = 0; round < settings.rounds; ++round) {
    for (Source* source : {&files, &pack, &memory}) source->run(round);
  }
  for (const Source* source : {&files, &pack, &memory}) source->print();
}

}  // namespace
}  // namespace cytograd::bench

int main(int argc, char** argv) {
  try {
    cytograd::bench::Settings settings;
    CLI::App app{"Times the loader on images from files, from a pack and from memory"};
    app.option_defaults()->always_capture_default();
    app.add_option("--data", settings.data, "Any folder that cytograd reads")->required();
    app.add_option("--batch", settings.loader.batch)->check(CLI::Range(1, 65536));
    app.add_option("--crop", settings.loader.crop)->check(CLI::Range(0, 16384));
    app.add_option("--shrink", settings.loader.shrink)->check(CLI::Range(1, 64));
    app.add_option("--workers", settings.loader.workers)->check(CLI::Range(1, 256));
    app.add_option("--batches", settings.batches, "A round")->check(CLI::Range(1, 100000));
    app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 1000));
    app.add_option("--step-ms", settings.step_milliseconds, "What a training step takes")
        ->check(CLI::Range(0.0, 1e5));
    CLI11_PARSE(app, argc, argv);
    cytograd::bench::run(settings);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "loader_bench: error: %s\n", error.what());
    return 1;
  }
}
