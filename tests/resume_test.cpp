// A run that is killed and resumed, at whatever moment and however often, is bitwise the run that was never stopped;
// and neither the number of workers nor the cache changes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/csv.h"
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

/// Of images with a broken one in training and one in validation, at least.
void expect_cache_does_not_matter(const Words& more) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40, .channels = 3});
  for (const int i : {3, 8, 21, 38}) dir.write(fmt::format("data/i{}.png", i), "not a picture");
  const Words options = Words{"--epochs", "3", "--max-missing", "0.2", "--val-group", "g1,g3"} + more;
  const RunFolder plain(trained_run(dir / "data", dir / "plain", options));
  const std::string part = fmt::format("{:.9f}", 12.5 * 16 * 16 * 3 / 0x1p30);  // twelve images
  for (const std::string& cache : {std::string("0"), part}) {
    const RunFolder run(
        trained_run(dir / "data", dir / ("cache_" + cache), options + Words{"--cache-gib", cache}));
    expect_same_run(run, plain);
  }
  const RunFolder resumed(dir / "resumed");
  trained_run(dir / "data", resumed.path(), options + Words{"--schedule", "constant", "--epochs", "1"});
  const RunFolder whole(
      trained_run(dir / "data", dir / "whole", options + Words{"--schedule", "constant", "--epochs", "3"}));
  expect_ok(run_command(
      {"train", "--resume", "--out", resumed.path().string(), "--epochs", "3", "--cache-gib", "0"}));
  expect_same_run(resumed, whole);
}

TEST(Resume, TheCacheChangesNothingWhereImagesAreBroken) {
  expect_cache_does_not_matter({"--class-weights", "balanced", "--fusion", "pca"});
  expect_cache_does_not_matter({"--sampler", "group", "--optimizer", "adamw", "--ema", "0.9"});
}

TEST(Resume, AScheduleComesToItsEndWhereBatchesAreLost) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40});
  for (int i = 0; i < 40; ++i) {
    if (i / 2 % 4 == 0) dir.write(fmt::format("data/i{}.png", i), "not a picture");  // all of a group
  }
  const auto last_rate = [&](const std::string& name, const Words& more) {
    const RunFolder run(trained_run(
        dir / "data", dir / name,
        Words{"--epochs", "3", "--val-group", "g1", "--sampler", "group", "--max-missing", "0.5"} + more));
    return std::stod(parse_csv(read_file(run.metrics()), run.metrics()).rows.back()[6]);
  };
  for (const char* cache : {"0", "-1"}) {
    const std::string name = std::string("cosine") + cache;
    EXPECT_LT(last_rate(name, {"--schedule", "cosine", "--cache-gib", cache}), 0.01) << cache;
    EXPECT_LT(last_rate("one_cycle" + name, {"--schedule", "one_cycle", "--cache-gib", cache}), 1e-4)
        << cache;
  }
}

TEST(Resume, AScheduleIsLaidOutForTheEpochsThatWereTrained) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const RunFolder run(trained_run(dir / "data", dir / "run", {"--epochs", "2"}));
  // As a run that was told so leaves it when it is stopped before another epoch ends.
  const std::string config = read_file(run.config());
  const size_t at = config.find("epochs=2\n");
  ASSERT_NE(at, std::string::npos);
  dir.write("run/config.toml", std::string(config).replace(at, 8, "epochs=1000"));
  expect_error(run_command({"train", "--resume", "--out", run.path().string(), "--epochs", "1"}), kWrongUsage,
               {"is laid out for 2 epochs"});
  const CommandResult three =
      run_command({"train", "--resume", "--out", run.path().string(), "--epochs", "3"});
  expect_ok(three);
  EXPECT_THAT(three.err, HasSubstr("is laid out anew, for 3 epochs in place of 2"));
  EXPECT_THAT(read_file(run.config()), HasSubstr("epochs=3\n"));
}

TEST(Resume, ARunGoesOnWithoutTheWeightsItBeganWith) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const Words constant{"--schedule", "constant"};
  const RunFolder first(trained_run(dir / "data", dir / "first"));
  fs::copy_file(first.best(), dir / "begin.safetensors");
  const Words options = constant + Words{"--init-weights", (dir / "begin.safetensors").string()};
  const RunFolder whole(trained_run(dir / "data", dir / "whole", options + Words{"--epochs", "3"}));
  const RunFolder run(trained_run(dir / "data", dir / "run", options));
  fs::remove(dir / "begin.safetensors");
  expect_ok(run_command({"train", "--resume", "--out", run.path().string(), "--epochs", "3"}));
  expect_same_run(run, whole);
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
