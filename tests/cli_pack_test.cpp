// cytograd pack: it survives being killed at any moment, and training does not see a difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/pack.h"
#include "tests/support/hostile_pack.h"
#include "tests/support/png_chunks.h"
#include "tests/support/same_run.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

CommandResult pack(const fs::path& data, const fs::path& out, const Words& more = {},
                   const CommandOptions& options = {}) {
  return run_command(Words{"pack", "--data", data.string(), "--out", out.string()} + more, options);
}

TEST(CliPack, TrainingFromAPackIsBitwiseTrainingFromTheFiles) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40, .side = 20, .channels = 3});
  dir.write("data/i9.png", "not a picture");  // keeps its place among the draws
  expect_ok(pack(dir / "data", dir / "pack"));
  const Words options{"--epochs", "3", "--crop", "8", "--shrink", "2", "--brightness", "0.1"};
  const RunFolder files(trained_run(dir / "data", dir / "from_files", options));
  const RunFolder packed(trained_run(dir / "pack", dir / "from_pack", options));
  expect_same_run(files, packed);
}

TEST(CliPack, ARunOnFilesGoesOnFromAPack) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_ok(pack(dir / "data", dir / "pack"));
  const RunFolder whole(
      trained_run(dir / "data", dir / "whole", {"--epochs", "3", "--schedule", "constant"}));
  trained_run(dir / "data", dir / "run", {"--epochs", "1", "--schedule", "constant"});
  expect_ok(train(dir / "pack", dir / "run", {"--resume", "--epochs", "3"}));
  expect_same_run(whole, RunFolder(dir / "run"));
}

/// Images of 16 bits in place of those from `first` on.
void widen_images(const TempDir& dir, int first) {
  for (int i = first; i < 8; ++i) {
    std::string rows;
    for (int y = 0; y < 16; ++y) {
      rows += '\0';
      for (int x = 0; x < 16; ++x) rows += {static_cast<char>(i), static_cast<char>(16 * x)};
    }
    dir.write(fmt::format("data/i{}.png", i), make_png({.width = 16, .height = 16, .depth = 16}, rows));
  }
}

/// Packing went on from whole shards of all eight images, and says their white.
void expect_adopted(const TempDir& dir, const CommandResult& packed) {
  expect_ok(packed);
  EXPECT_THAT(packed.out, HasSubstr("8 of them from before"));
  EXPECT_THAT(read_file(dir / "pack/pack.json"), HasSubstr("\"white\": 4095"));
}

// Shards that an earlier, interrupted packing left say what their images were.
TEST(CliPack, APackOfWhichSomeImagesHave16BitsKeepsItsWhite) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 8});
  widen_images(dir, 6);
  const Words options{"--white", "4095", "--shard-mib", "1"};
  expect_ok(pack(dir / "data", dir / "pack", options));
  EXPECT_THAT(read_file(dir / "pack/pack.json"), HasSubstr("\"white\": 4095"));
  const CommandResult inspected = run_command({"inspect", "--json", "--data", (dir / "pack").string()});
  expect_ok(inspected);
  EXPECT_THAT(inspected.out, AllOf(HasSubstr("\"packed_white\": 4095"), HasSubstr("\"without_pixels\": 0")));
  fs::remove(dir / "pack/pack.json");
  expect_adopted(dir, pack(dir / "data", dir / "pack", options));
}

// Earlier versions said it of packs whose first image has 16 bits alone, and nothing in their shards.
TEST(CliPack, APackThatDoesNotSayItsWhiteIsMended) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 8});
  widen_images(dir, 6);
  const Words options{"--white", "4095"};
  expect_ok(pack(dir / "data", dir / "pack", options));
  change_description(dir, dir / "pack", R"("white": 4095)", R"("white": null)");
  const CommandResult mended = pack(dir / "data", dir / "pack", options);
  expect_adopted(dir, mended);
  EXPECT_THAT(mended.err, HasSubstr("packing again: "));

  std::string shard = read_file(dir / "pack/shard-00000.safetensors");
  const std::string said = R"(,\"has_16_bits\":true)";
  const size_t at = shard.find(said);
  ASSERT_NE(at, std::string::npos);
  dir.write("pack/shard-00000.safetensors", shard.replace(at, said.size(), std::string(said.size(), ' ')));
  fs::remove(dir / "pack/pack.json");
  expect_adopted(dir, pack(dir / "data", dir / "pack", options));
}

TEST(CliPack, TheWhiteOfAPackIsThatOfItsRuns) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 8});
  widen_images(dir, 0);
  expect_ok(pack(dir / "data", dir / "pack", {"--white", "4095"}));
  expect_ok(pack(dir / "pack", dir / "again"));
  for (const char* name : {"pack", "again"}) {
    const fs::path run = dir / (std::string("run_") + name);
    trained_run(dir / name, run);
    EXPECT_THAT(read_file(run / "config.toml"), HasSubstr("white=4095\n"));
    expect_error(train(dir / name, dir / "other", {"--white", "2047"}), kFailed,
                 {"was packed with --white 4095, which cannot become 2047"});
  }
  const std::string run = trained_run(dir / "data", dir / "run", {"--white", "2047"}).string();
  const Words told{"pack: was packed with --white 4095, but the model was trained with 2047"};
  expect_error(run_command({"eval", "--model", run, "--data", (dir / "pack").string()}), kFailed, told);
  expect_error(
      run_command({"predict", "--model", run, "--out", (dir / "p.csv").string(), (dir / "pack").string()}),
      kFailed, told);
  expect_error(train(dir / "data", dir / "other", {"--white", "2047", "--val", (dir / "pack").string()}),
               kFailed, {"was packed with --white 4095, but the training images have 2047"});
  expect_ok(pack(write_tiny_data(dir / "eight"), dir / "of_8_bits", {"--white", "4095"}));
  expect_ok(run_command({"eval", "--model", run, "--data", (dir / "of_8_bits").string()}));
}

TEST(CliPack, KilledAtAnyMomentItGoesOn) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 60, .side = 256, .channels = 3});
  expect_ok(pack(dir / "data", dir / "whole", {"--shard-mib", "1"}));
  int kills = 0;
  for (int milliseconds = 20; milliseconds < 2000; milliseconds = milliseconds * 3 / 2) {
    const CommandResult killed =
        pack(dir / "data", dir / "pack", {"--shard-mib", "1", "--workers", "1"},
             {.kill_after = std::chrono::milliseconds(milliseconds), .kill_signal = SIGKILL});
    if (killed.signal == SIGKILL) ++kills;
    if (killed.code == 0) break;
  }
  EXPECT_GT(kills, 0);
  expect_ok(pack(dir / "data", dir / "pack", {"--shard-mib", "1"}));
  const Words names = listing(dir / "whole");
  EXPECT_EQ(listing(dir / "pack"), names);
  EXPECT_EQ(std::count_if(names.begin(), names.end(), [](auto& name) { return name.starts_with("shard-"); }),
            10)
      << "each ends with the sixth image, which passes a MiB";
  for (const std::string& name : names) {
    if (name == "tables") continue;
    EXPECT_EQ(read_file(dir / "pack" / name), read_file(dir / "whole" / name)) << name;
  }
}

TEST(CliPack, VerifyNamesWhatIsDamaged) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_ok(pack(dir / "data", dir / "pack"));
  const Words verify{"pack", "--verify", (dir / "pack").string()};
  const CommandResult sound = run_command(verify);
  expect_ok(sound);
  EXPECT_THAT(sound.out, HasSubstr("24 images are as they were packed"));
  const fs::path shard = dir / "pack/shard-00000.safetensors";
  std::string bytes = read_file(shard);
  bytes[bytes.size() - 300] ^= 1;
  dir.write(shard, bytes);
  expect_error(run_command(verify), kFailed, {"shard-00000.safetensors: image '", "bytes ", "checksum"});
  // Nor is it passed over as an image that cannot be read.
  expect_error(train(dir / "pack", dir / "run", {"--max-missing", "1"}), kFailed,
               {"shard-00000.safetensors: image '", "checksum"});
  expect_error(run_command({"pack", "--verify", (dir / "data").string()}), kFailed, {"holds no pack"});
}

TEST(CliPack, VerifyCountsTheImagesThatAreThere) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  dir.write("data/i9.png", "not a picture");
  const CommandResult packed = pack(dir / "data", dir / "pack");
  expect_ok(packed);
  EXPECT_THAT(packed.out, AllOf(HasSubstr("23 images in"), HasSubstr("1 unreadable")));
  EXPECT_THAT(run_command({"pack", "--verify", (dir / "pack").string()}).out, HasSubstr("23 images are as"));
}

TEST(CliPack, WhatItIsGivenMustMakeSense) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_error(run_command({"pack", "--data", (dir / "data").string()}), kWrongUsage, {"--out"});
  expect_error(run_command({"pack", "--out", (dir / "pack").string()}), kWrongUsage, {"--data"});
  expect_error(run_command({"pack", "--verify", "x", "--data", "y"}), kWrongUsage, {"--verify", "--data"});
  expect_error(pack(dir / "data", dir / "data/pack"), kFailed, {"lies in --data"});
  expect_error(pack(dir / "data", dir.path()), kFailed, {"or around it"});
  expect_ok(pack(dir / "data", dir / "pack"));
  expect_ok(pack(dir / "pack", dir / "part", {"--where", "group=g1"}));
  EXPECT_EQ(read_file(dir / "part/tables/labels.csv"), read_file(dir / "data/labels.csv"));
  const Dataset part = open_pack(dir / "part");
  EXPECT_EQ(part.samples.size(), 6U);
  EXPECT_THAT(pack(dir / "data", dir / "pack").out, HasSubstr("is packed already"));
}

}  // namespace
}  // namespace cytograd::test
