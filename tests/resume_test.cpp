// A run that is killed and resumed, at whatever moment and however often, is bitwise the run that was never stopped; and
// neither the number of workers nor the cache changes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/safetensors.h"
#include "tests/support/tiny_data.h"
#include "tools/run_folder.h"

namespace cytograd::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const Words kSgd{"--epochs", "4", "--schedule", "one_cycle", "--brightness", "0.1"};
const Words kAdamW{"--epochs",  "4",   "--optimizer", "adamw",   "--schedule",      "cosine",
                   "--ema",     "0.9", "--crop",      "12",      "--brightness",    "0.2",
                   "--dropout", "0.3", "--fusion",    "learned", "--class-weights", "balanced"};

/// Metrics without what depends on the clock.
std::string lasting(const std::string& text) {
  std::vector<EpochMetrics> rows = parse_metrics(text, "metrics");
  for (EpochMetrics& row : rows) row.images_per_second = row.stall_seconds = 0.0;
  return format_metrics(rows);
}

void expect_same_tensors(const fs::path& file, const fs::path& other) {
  SafetensorsFile a = read_safetensors(file);
  SafetensorsFile b = read_safetensors(other);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    const Tensor& x = a.tensors[i].tensor;
    const Tensor& y = b.tensors[i].tensor;
    ASSERT_EQ(a.tensors[i].name, b.tensors[i].name);
    ASSERT_EQ(x.shape(), y.shape());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0) << file << " " << a.tensors[i].name;
  }
  for (SafetensorsFile* saved : {&a, &b}) {
    const auto metrics = saved->metadata.find("cytograd.metrics");
    if (metrics != saved->metadata.end()) metrics->second = lasting(metrics->second);
  }
  EXPECT_EQ(a.metadata, b.metadata);
}

void expect_same_run(const RunFolder& run, const RunFolder& other) {
  expect_same_tensors(run.best(), other.best());
  expect_same_tensors(run.last(), other.last());
  EXPECT_EQ(lasting(read_file(run.metrics())), lasting(read_file(other.metrics())));
  EXPECT_EQ(read_file(run.classes()), read_file(other.classes()));
}

/// Kills `train` ten times, at moments drawn from the time that the undisturbed run takes, and resumes it each time. A
/// run that is done before its moment begins anew.
void expect_killed_runs_end_alike(const Words& options, uint64_t seed) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40, .channels = options == kAdamW ? 3 : 1});
  const RunFolder whole(dir / "whole");
  const RunFolder killed(dir / "killed");
  const CommandResult undisturbed = train(dir / "data", whole.path(), options);
  expect_ok(undisturbed);
  Philox random(seed, 0, 0);
  int kills = 0;
  for (int i = 0; i < 10; ++i) {
    const auto moment = undisturbed.duration * static_cast<int64_t>(5 + random.below(40)) / 100;
    const bool begun = fs::exists(killed.config());  // else it was killed before there was anything to resume
    const CommandResult result = train(
        dir / "data", killed.path(), options + (begun ? Words{"--resume"} : Words{}), {.kill_after = moment});
    EXPECT_THAT(result.errors(), ::testing::IsEmpty()) << result.err;
    kills += result.signal == SIGKILL ? 1 : 0;
    if (result.signal == SIGKILL) continue;
    ASSERT_EQ(result.code, 0);
    expect_same_run(killed, whole);
    fs::remove_all(killed.path());
  }
  EXPECT_GT(kills, 2);
  const bool begun = fs::exists(killed.config());
  expect_ok(train(dir / "data", killed.path(), options + (begun ? Words{"--resume"} : Words{})));
  expect_same_run(killed, whole);
  EXPECT_THAT(listing(killed.path()), Not(Contains(HasSubstr(".tmp"))));
}

TEST(Resume, KilledRunsWithSgdAndOneCycleEndAlike) { expect_killed_runs_end_alike(kSgd, 1); }

TEST(Resume, KilledRunsWithAdamWAveragesDropoutAndCropsEndAlike) { expect_killed_runs_end_alike(kAdamW, 2); }

TEST(Resume, NeitherWorkersNorTheCacheChangeTheRun) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40, .channels = 3});
  const RunFolder plain(trained_run(dir / "data", dir / "plain", kAdamW));
  const RunFolder workers(trained_run(dir / "data", dir / "workers", kAdamW + Words{"--workers", "3"}));
  const RunFolder streamed(trained_run(dir / "data", dir / "streamed", kAdamW + Words{"--cache-gib", "0"}));
  expect_same_run(workers, plain);
  expect_same_run(streamed, plain);
}

TEST(Resume, ARunStoppedBetweenBestAndLastRepeatsTheEpoch) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const Words three{"--epochs", "3", "--schedule", "constant"};
  const RunFolder whole(trained_run(dir / "data", dir / "whole", three));
  const RunFolder stopped(
      trained_run(dir / "data", dir / "stopped", {"--epochs", "2", "--schedule", "constant"}));
  fs::copy_file(whole.best(), stopped.best(), fs::copy_options::overwrite_existing);
  expect_ok(train(dir / "data", stopped.path(), three + Words{"--resume"}));
  expect_same_run(stopped, whole);
}

TEST(Resume, TheSettingsAreTheRunsUnlessTheCommandSaysOtherwise) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const RunFolder whole(trained_run(dir / "data", dir / "whole", kSgd));
  const RunFolder again(dir / "again");
  EXPECT_EQ(train(dir / "data", again.path(), kSgd, {.kill_after = std::chrono::milliseconds(1)}).signal,
            SIGKILL);
  expect_ok(run_command({"train", "--config", whole.config().string(), "--out", again.path().string()}));
  expect_same_run(again, whole);
  const CommandResult more =
      run_command({"train", "--resume", "--out", again.path().string(), "--epochs", "5"});
  expect_ok(more);
  EXPECT_THAT(more.out, HasSubstr("resuming after epoch 4\n"));
  EXPECT_THAT(read_file(again.config()), HasSubstr("epochs=5"));
}

TEST(Resume, ARunThatIsDoneSaysSoAndChangesNothing) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const RunFolder run(trained_run(dir / "data", dir / "run"));
  const std::string last = read_file(run.last());
  expect_ok(train(dir / "data", run.path(), {"--resume"}));
  EXPECT_EQ(read_file(run.last()), last);
}

}  // namespace
}  // namespace cytograd::test
