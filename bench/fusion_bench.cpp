// Colormap and principal components to RGB on the CPU, one thread: pixels a second. compare_colormap.py has the same in
// numpy.
#include <benchmark/benchmark.h>

#include "data/colormap.h"
#include "data/pca.h"
#include "engine/philox.h"

namespace cytograd::bench {
namespace {

constexpr int64_t kSide = 512;

Image noise(int64_t channels) {
  Image image{kSide, kSide, channels, {}};
  Philox random(1);
  for (int64_t i = 0; i < kSide * kSide * channels; ++i)
    image.pixels.push_back(static_cast<uint8_t>(random.below(256)));
  return image;
}

void count(benchmark::State& state) {
  state.counters["pixels_per_second"] = benchmark::Counter(
      static_cast<double>(state.iterations() * kSide * kSide), benchmark::Counter::kIsRate);
}

void colormap(benchmark::State& state) {
  const Image image = noise(6);
  const Colormap colours = Colormap::rxrx1();
  for (auto _ : state) benchmark::DoNotOptimize(colours(image).pixels.data());
  count(state);
}
BENCHMARK(colormap)->Unit(benchmark::kMillisecond);

void pca(benchmark::State& state) {
  const Image image = noise(state.range(0));
  ChannelSums sums(image.channels);
  const auto owner = std::make_shared<const Image>(image);
  sums.add({image.height, image.width, image.channels,
            std::shared_ptr<const uint8_t[]>(owner, owner->pixels.data())});
  const Pca components = fit_pca(sums, 3);
  const std::vector<ValueRange> ranges = deviation_ranges(components);
  for (auto _ : state) benchmark::DoNotOptimize(pca_to_rgb(image, components, ranges).pixels.data());
  count(state);
}
BENCHMARK(pca)->Unit(benchmark::kMillisecond)->Arg(5)->Arg(6);

}  // namespace
}  // namespace cytograd::bench

BENCHMARK_MAIN();
