#include "tools/train_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/atomic_file.h"
#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TrainOptions round_trip(const TrainOptions& options) {
  const test::TempDir folder;
  const auto file = folder.path() / "config.toml";
  write_text_file(file, format_train_config(options));
  return read_train_config(file);
}

TEST(TrainOptions, DefaultsSurviveTheConfiguration) {
  const TrainOptions options = round_trip({});
  EXPECT_TRUE(options.mirror);
  EXPECT_TRUE(options.quarter_turns);
  EXPECT_FALSE(options.nesterov);
  EXPECT_TRUE(options.where.empty());
  EXPECT_TRUE(options.val_group.empty());
  EXPECT_EQ(options.epochs, TrainOptions().epochs);
  EXPECT_EQ(options.model, TrainOptions().model);
}

TEST(TrainOptions, EverySettingSurvivesTheConfiguration) {
  TrainOptions changed;
  changed.data = "a folder/with \"marks\" and, commas";
  changed.label = "cell_type";
  changed.where = {"split=train,val", "cell_type=HUVEC"};
  changed.val = "val";
  changed.val_group = {"A", "B 2"};
  changed.val_fraction = 0.125;
  changed.group = "plate";
  changed.max_missing = 1.0;
  changed.workers = 3;
  changed.cache_gib = 0.5;
  changed.fusion = "learned";
  changed.shrink = 2;
  changed.crop = 128;
  changed.normalize = "unit";
  changed.mirror = false;
  changed.quarter_turns = false;
  changed.brightness = 0.25;
  changed.model = "resnet50";
  changed.stem = "3x3";
  changed.zero_init_last = true;
  changed.dropout = 0.5;
  changed.init_weights = "w.safetensors";
  changed.epochs = 7;
  changed.batch = 33;
  changed.optimizer = "adamw";
  changed.lr = 0.0003;
  changed.momentum = 0.8;
  changed.nesterov = true;
  changed.weight_decay = 0.05;
  changed.schedule = "cosine";
  changed.warmup = 2.5;
  changed.label_smoothing = 0.0;
  changed.class_weights = "balanced";
  changed.clip_norm = 1.5;
  changed.ema = 0.999;
  changed.seed = 12345678901234567890u;
  changed.device = "cpu";
  changed.dtype = "bf16";
  const TrainOptions read = round_trip(changed);
  EXPECT_EQ(format_train_config(read), format_train_config(changed));
  EXPECT_EQ(read.data, changed.data);
  EXPECT_THAT(read.where, ElementsAre("split=train,val", "cell_type=HUVEC"));
  EXPECT_THAT(read.val_group, ElementsAre("A", "B 2"));
  EXPECT_EQ(read.seed, changed.seed);
  EXPECT_EQ(read.lr, changed.lr);
  EXPECT_FALSE(read.mirror);
  EXPECT_TRUE(read.zero_init_last);
  EXPECT_NE(format_train_config(changed), format_train_config({}));
}

TEST(TrainOptions, AWrongConfigurationIsOneErrorThatNamesTheFile) {
  const test::TempDir folder;
  const auto file = folder.path() / "config.toml";
  for (const char* text : {"epochs=many\n", "no-such-setting=1\n", "model=\"vgg\"\n", "epochs=[\n"}) {
    write_text_file(file, text);
    try {
      read_train_config(file);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(file.string())) << text;
    }
  }
  EXPECT_THROW(read_train_config(folder.path() / "absent.toml"), Error);
}

}  // namespace
}  // namespace cytograd
