// A run that is killed and resumed, at whatever moment and however often, is bitwise the run that was never stopped;
// and neither the number of workers nor the cache changes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/same_run.h"
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

TEST(Resume, ARunStoppedBetweenLastAndBestHasItsBest) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const RunFolder run(trained_run(dir / "data", dir / "run")),
      other(trained_run(dir / "data", dir / "other", {"--seed", "5"}));
  const std::string best = read_file(run.best());
  ASSERT_NE(read_file(other.best()), best);
  fs::copy_file(other.best(), run.best(), fs::copy_options::overwrite_existing);
  expect_ok(train(dir / "data", run.path(), {"--resume"}));
  EXPECT_EQ(read_file(run.best()), best);
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
