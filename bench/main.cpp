// Times the rows of a family through Google Benchmark: its flags choose rows (--benchmark_filter), repetitions and
// files (--benchmark_out). Names are family/shape/pass/dtype/device/variant. --smoke runs the first row of each kind
// once, to see that it works.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <regex.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "bench/context.h"
#include "bench/harness.h"
#include "bench/limits.h"
#include "bench/timing.h"
#include "engine/backend.h"
#include "engine/check.h"

namespace cytograd::bench {
namespace {

constexpr const char* kRepetitions = "--benchmark_repetitions=10";

std::vector<void (*)(std::vector<Row>&)>& sources() {
  static std::vector<void (*)(std::vector<Row>&)> all;
  return all;
}

/// A copy of what no cache holds.
Work large_copy(Device device) {
  const int64_t bytes = 2 * last_level_cache(device);
  const Tensor from = Tensor::full({bytes}, 1.0f, DType::u8, device);
  Tensor to = Tensor::zeros({bytes}, DType::u8, device);
  return {.run = [from, to]() mutable { backend(to.device()).copy(to, from); }, .bytes = 2 * bytes};
}

/// A row's inputs and what its measurements look like, kept from its first repetition to its last.
class Session {
 public:
  Session(const Row& row, bool cold) : row_(row), watch_(row.device, cold), work_(row.make()) {
    ours_ = watch_.prepare(work_.run);
    if (work_.run_library) library_ = watch_.prepare(work_.run_library);
    if (cold && row.device == Device::cpu && work_.operations == 0) copy_ = large_copy(row.device);
  }

  const Row& row() const { return row_; }
  std::string flaw() const { return work_.flaw ? work_.flaw() : ""; }

  void measure(benchmark::State& state, const Limits& limits) {
    std::vector<double> ours, theirs, copies;
    for (int i = 0; i < ours_.measurements; ++i) {
      ours.push_back(watch_.seconds(ours_));
      if (library_.run) theirs.push_back(watch_.seconds(library_));
      if (copy_.run) copies.push_back(watch_.seconds({copy_.run}));
    }
    const double seconds = median(ours);
    state.SetIterationTime(seconds);
    const auto bytes = static_cast<double>(work_.bytes), operations = static_cast<double>(work_.operations);
    const double copy = copies.empty() ? limits.copy : static_cast<double>(copy_.bytes) / median(copies);
    const double at_the_limit = std::max(bytes / copy, operations / limits.matmul);
    state.counters["bytes"] = bytes;
    state.counters["operations"] = operations;
    state.counters["GB/s"] = 1e-9 * bytes / seconds;
    state.counters["GFLOP/s"] = 1e-9 * operations / seconds;
    state.counters["share_of_limit"] = at_the_limit / seconds;
    if (!theirs.empty()) state.counters["library_ratio"] = median(theirs) / seconds;
    if (work_.run_library) state.SetLabel(work_.library);
  }

 private:
  const Row& row_;
  Stopwatch watch_;
  Work work_;
  Work copy_;  // the limit of a CPU's row, whose memory is shared with others: measured beside it each time
  TimedCall ours_, library_;
};

std::string name_of(const Row& row) {
  return fmt::format("{}/{}/{}/{}/{}/{}", row.family, row.shape, row.pass, dtype_name(row.dtype),
                     device_name(row.device), row.variant);
}

/// Two variants of one name would share a verdict, and one would be taken for the other.
void require_own_names(const std::vector<Row>& rows) {
  std::set<std::string> names;
  for (const Row& row : rows) {
    if (!names.insert(name_of(row)).second)
      fail("two rows are called {}: give the variant a name of its own", name_of(row));
  }
}

/// Leaves the first row of each kind (family, pass, type, device, variant), of all rows or of those of the emulator,
/// which would take hours for the others.
void keep_small(std::vector<Row>& rows, bool smoke) {
  std::set<std::string> seen;
  std::erase_if(rows, [&](Row row) {
    row.shape.clear();
    return !seen.insert(name_of(row)).second && (smoke || (row.device == Device::cuda && cuda_is_emulated()));
  });
}

/// Those of the rows that --benchmark_filter leaves: to measure the limits of another takes seconds.
std::vector<Device> chosen_devices(const std::vector<Row>& rows) {
  const std::string filter = benchmark::GetBenchmarkFilter();
  if (filter.empty() || filter == "all") return devices();
  const bool is_inverted = filter.front() == '-';
  regex_t expression;
  if (regcomp(&expression, filter.c_str() + (is_inverted ? 1 : 0), REG_EXTENDED | REG_NOSUB) != 0) return {};
  std::vector<Device> chosen;
  for (const Device device : devices()) {
    if (std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
          const std::string name = name_of(row) + "/iterations:1/manual_time";  // as it is registered
          return row.device == device &&
                 (regexec(&expression, name.c_str(), 0, nullptr, 0) == 0) != is_inverted;
        }))
      chosen.push_back(device);
  }
  regfree(&expression);
  return chosen;
}

/// What is wrong with the row's variant, which is asked once for all of its rows.
const std::string& flaw_of(const Row& row) {
  static std::map<std::pair<std::string, std::string>, std::string> known;
  const std::pair key{row.family, row.variant};
  auto entry = known.find(key);
  if (entry == known.end()) entry = known.emplace(key, row.flaw ? row.flaw() : "").first;
  return entry->second;
}

/// Whether all rows that were run could be.
bool all_ran = true;

void measure_row(const Row& row, bool smoke, benchmark::State& state) try {
  static std::unique_ptr<Session> session;
  for (auto _ : state) {
    if (!session || &session->row() != &row) {
      session.reset();  // its memory goes before the next one's comes
      std::string flaw = flaw_of(row);
      const bool is_emulated = row.device == Device::cuda && cuda_is_emulated();
      if (flaw.empty() && is_emulated) {
        Stopwatch watch(row.device, false);
        const Work work = row.make();
        watch.seconds(watch.prepare(work.run));
        flaw = work.flaw ? work.flaw() : "";
        if (flaw.empty())
          return state.SkipWithError(
              row.flaw ? "right, but an emulator's times say nothing of a GPU"
                       : "ran; the tests say whether it is right, and a GPU how fast it is");
      }
      if (flaw.empty()) {
        session = std::make_unique<Session>(row, !smoke);
        flaw = session->flaw();
      }
      if (!flaw.empty()) {
        session.reset();
        all_ran = false;
        return state.SkipWithError(("wrong: " + flaw).c_str());
      }
    }
    session->measure(state, limits_of(row.device, row.dtype, smoke));
  }
} catch (const std::exception& error) {
  all_ran = false;  // the rows before it, and those after it, have their figures
  fmt::print(stderr, "{}: {}\n", name_of(row), error.what());
  state.SkipWithError(error.what());
}

int run(int argc, char** argv) {
  std::vector<char*> arguments{argv[0], const_cast<char*>(kRepetitions),
                               const_cast<char*>("--benchmark_display_aggregates_only=true")};
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--smoke") {
      smoke = true;
    } else {
      arguments.push_back(argv[i]);  // later ones win
    }
  }
  char once[] = "--benchmark_repetitions=1";
  if (smoke) arguments.push_back(once);
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;

  std::vector<Row> rows;
  for (const auto& add : sources()) add(rows);
  require_own_names(rows);
  keep_small(rows, smoke);
  for (const Row& row : rows) {
    benchmark::RegisterBenchmark(name_of(row).c_str(),
                                 [&row, smoke](benchmark::State& state) { measure_row(row, smoke, state); })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMicrosecond);
  }
  for (const auto& [key, value] : context(chosen_devices(rows), smoke))
    benchmark::AddCustomContext(key, value);
  const bool any = benchmark::RunSpecifiedBenchmarks() > 0;
  benchmark::Shutdown();
  if (!any) return 1;  // Google Benchmark has said that no name matches
  return all_ran ? 0 : 1;
}

}  // namespace

RowSource::RowSource(void (*add)(std::vector<Row>& rows)) { sources().push_back(add); }

}  // namespace cytograd::bench

int main(int argc, char** argv) {
  try {
    return cytograd::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: error: {}\n", argv[0], error.what());
    return 1;
  }
}
