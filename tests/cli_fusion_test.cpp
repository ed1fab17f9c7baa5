// train --fusion: what a run keeps of colours and components, and that nothing of the validation images goes in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "data/pca_file.h"
#include "data/stored_image.h"
#include "engine/safetensors.h"
#include "tests/support/same_run.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class CliFusion : public ::testing::Test {
 protected:
  CliFusion() { write_tiny_data(data, {.images = 32, .side = 12, .channels = 5}); }

  CommandResult eval(const fs::path& folder) const {
    return run_command({"eval", "--model", folder.string(), "--data", data.string(), "--device", "cpu"});
  }

  TempDir dir;
  const fs::path data = dir / "data";
  const fs::path run = dir / "run";
};

TEST_F(CliFusion, ComponentsAreThoseOfTheTrainingImagesAlone) {
  const Words options{"--fusion", "pca", "--val-group", "g1", "--components", "2"};
  const CommandResult result = train(data, run, options);
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr("principal components of the training images: "));
  ChannelSums sums(5);
  for (const Sample& sample : open_dataset(data).samples) {
    if (sample.values[2] != "g1") sums.add(read_stored(sample));
  }
  const PcaFit fit = read_pca(run / "pca.json").fits.begin()->second;
  EXPECT_EQ(fit.sums.pixels(), sums.pixels());
  EXPECT_EQ(fit.sums.values(), sums.values());
  EXPECT_EQ(fit.pca.components, fit_pca(sums, 2).components);
  const SafetensorsFile weights = read_safetensors(run / "best.safetensors");
  EXPECT_EQ(weights.find("conv1.weight") != nullptr ? weights.find("conv1.weight")->dim(1) : 0, 2);
  expect_ok(eval(run));
}

TEST_F(CliFusion, WhatTheComponentsAreNotOfIsCountedBeforeTheTraining) {
  for (const char* name : {"i1", "i2", "i11"}) dir.write(fmt::format("data/{}_w1.png", name), "text");
  const Words options{"--fusion", "pca", "--cache-gib", "0", "--val-group", "g2"};
  const CommandResult refused = train(data, run, options);
  expect_error(refused, kFailed,
               {"3 of 32 images are missing or unreadable, more than --max-missing 0.05 allows"});
  EXPECT_FALSE(fs::exists(run));
  const CommandResult allowed = train(data, run, options + Words{"--max-missing", "0.1"});
  expect_ok(allowed);
  const std::string line = "unreadable, skipped: " + (data / "i11_w1.png").string();
  EXPECT_THAT(allowed.err, HasSubstr(line));
  EXPECT_EQ(allowed.err.find(line), allowed.err.rfind(line)) << "once";
}

TEST_F(CliFusion, ARunGoesOnWithTheComponentsItBeganWith) {
  const Words options{"--fusion", "pca", "--schedule", "constant", "--val-group", "g1"};
  const RunFolder whole(trained_run(data, dir / "whole", options + Words{"--epochs", "3"}));
  trained_run(data, run, options + Words{"--epochs", "1"});
  expect_ok(train(data, run, {"--resume", "--epochs", "3"}));
  expect_same_run(whole, RunFolder(run));
  // Also where an image is lost meanwhile, which would be missing from components that are fitted again.
  const std::string components = read_file(run / "pca.json");
  fs::remove(data / "i0_w1.png");
  expect_ok(train(data, run, {"--resume", "--epochs", "4"}));
  EXPECT_EQ(read_file(run / "pca.json"), components);
}

TEST_F(CliFusion, WeightsAreNotUsedWithOtherComponents) {
  trained_run(data, run, {"--fusion", "pca"});
  const std::string good = read_file(run / "pca.json");
  const PcaFile whole = read_pca(run / "pca.json");
  for (const bool of_mean : {false, true}) {
    PcaFile file = whole;
    Pca& pca = file.fits.begin()->second.pca;
    (of_mean ? pca.mean[1] : pca.components[0][1]) += 1e-9;
    dir.write("run/pca.json", format_pca(file));
    expect_error(eval(run), kFailed, {"best.safetensors", "other colours or principal components"});
  }
  dir.write("run/pca.json", good.substr(0, 100));
  expect_error(eval(run), kFailed, {"pca.json: is not JSON"});
  fs::remove(run / "pca.json");
  expect_error(eval(run), kFailed, {"pca.json: no such file"});
}

TEST_F(CliFusion, ColoursAreKeptWithTheRun) {
  const fs::path colours = dir.write(
      "colours.csv", "channel,colour,low,high\n1,#FF0000,0,200\n4,#00FF80,10,110\n5,#0000FF,0,255\n");
  trained_run(data, run, {"--fusion", "colormap", "--colormap", colours.string()});
  EXPECT_EQ(read_file(run / "colormap.csv"), read_file(colours));
  fs::remove(colours);
  expect_ok(eval(run));
  expect_error(train(data, dir / "other", {"--fusion", "pca", "--colormap", colours.string()}), kWrongUsage,
               {"--colormap", "no meaning with --fusion pca"});
  expect_error(train(data, dir / "six", {"--fusion", "colormap"}), kFailed,
               {"needs 6 channels", "--colormap"});
}

TEST_F(CliFusion, LearnedFusionMakesAsManyChannelsAsItIsTold) {
  trained_run(data, run, {"--fusion", "learned", "--components", "4"});
  const SafetensorsFile weights = read_safetensors(run / "best.safetensors");
  ASSERT_NE(weights.find("fusion.weight"), nullptr);
  EXPECT_EQ(weights.find("fusion.weight")->dim(0), 4);
  EXPECT_EQ(weights.find("fusion.weight")->dim(1), 5);
  expect_ok(eval(run));
}

TEST_F(CliFusion, AForeignFileInTheRunFolderIsNotOverwritten) {
  dir.write("run/colormap.csv", "mine");
  expect_error(train(data, run, {"--fusion", "pca"}), kFailed, {"colormap.csv: is there, and of no run"});
  EXPECT_EQ(read_file(run / "colormap.csv"), "mine");
}

}  // namespace
}  // namespace cytograd::test
