// The covariance of a file's channels, timed, beside the rate at which the same threads read memory at all. Prints a
// line of JSON, for compare_covariance.py.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "engine/ops.h"
#include "engine/parallel.h"

namespace cytograd::bench {
namespace {

constexpr int kReads = 5;  // of which the best counts

template <typename Work>
double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Bytes a second at which all threads together add up x as whole numbers of 64 bits, which takes no time.
double read_bandwidth(const Tensor& x) {
  const auto* words = static_cast<const uint64_t*>(x.raw());
  const int64_t count = x.elements() / 8;
  std::atomic<uint64_t> total = 0;
  double best = 0.0;
  for (int i = 0; i < kReads; ++i) {
    const double seconds = seconds_of([&] {
      parallel_for(count, 1024, [&](int64_t begin, int64_t end) {
        uint64_t sum = 0;
        for (int64_t k = begin; k < end; ++k) sum += words[k];
        total += sum;
      });
    });
    best = std::max(best, static_cast<double>(count) * 8.0 / seconds);
  }
  benchmark::DoNotOptimize(total.load());
  return best;
}

/// [C * C], of sums [C + 1, C].
std::vector<double> covariance_of(const std::vector<int64_t>& sums, int64_t channels, int64_t pixels) {
  std::vector<double> covariance;
  const auto n = static_cast<double>(pixels);
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = 0; j < channels; ++j) {
      const double products = static_cast<double>(sums[(1 + i) * channels + j]);
      covariance.push_back((products - static_cast<double>(sums[i]) * static_cast<double>(sums[j]) / n) /
                           (n - 1.0));
    }
  }
  return covariance;
}

void measure_file(const std::string& path, int64_t channels) {
  const int64_t pixels = static_cast<int64_t>(std::filesystem::file_size(path)) / channels;
  if (pixels < 2) fail("{}: no pixels of {} channels", path, channels);
  Tensor x = Tensor::empty({pixels, channels}, DType::u8);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(static_cast<char*>(x.raw()), x.elements())) fail("{}: cannot be read", path);

  std::vector<double> seconds, covariance;
  for (int i = 0; i < 1 + kReads; ++i) {
    seconds.push_back(seconds_of([&] {
      Tensor sums = Tensor::zeros({channels + 1, channels}, DType::i64);
      channel_sums(x, sums);
      covariance = covariance_of(sums.to_vector<int64_t>(), channels, pixels);
    }));
  }
  seconds.erase(seconds.begin());  // a warm-up
  const double median = bench::median(seconds);
  fmt::print(
      "{{\"seconds\": {:.6f}, \"pixels\": {}, \"threads\": {}, \"share_of_read_bandwidth\": {:.2f}, "
      "\"covariance\": [{:.17g}]}}\n",
      median, pixels, cpu_threads(), static_cast<double>(x.bytes()) / median / read_bandwidth(x),
      fmt::join(covariance, ", "));
}

}  // namespace
}  // namespace cytograd::bench

int main(int argc, char** argv) {
  try {
    std::string pixels;
    int64_t channels = 6;
    CLI::App app{"Times the covariance of channels"};
    app.add_option("--pixels", pixels, "A file of interleaved bytes")->required()->check(CLI::ExistingFile);
    app.add_option("--channels", channels, "Of that file")->check(CLI::Range(1, 8));
    CLI11_PARSE(app, argc, argv);
    cytograd::bench::measure_file(pixels, channels);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "covariance_bench: error: %s\n", error.what());
    return 1;
  }
}
