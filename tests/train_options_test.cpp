#include "tools/train_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

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

// As --help and the documents name them: what a run does that is told nothing.
TEST(TrainOptions, TheDefaultsAreThese) {
  EXPECT_EQ(format_train_config({}), R"(data=""
out=""
label=""
where=[]
val=""
val-group=[]
val-fraction=0.2
group=""
max-missing=0.05
white=65535
workers=2
cache-gib=-1
fusion="none"
colormap=""
components=3
shrink=1
crop=0
normalize="image"
mirror=true
quarter-turns=true
brightness=0
model="resnet18"
stem="auto"
zero-init-last=false
dropout=0
init-weights=""
epochs=30
batch=64
sampler="random"
optimizer="sgd"
lr=0
momentum=0.9
nesterov=false
weight-decay=0.005
schedule="one_cycle"
warmup=1
label-smoothing=0.1
class-weights="none"
clip-norm=0
ema=0
adabn="auto"
seed=0
device="auto"
dtype="auto"
deterministic=false
autotune=false
)");
  TrainOptions options;
  EXPECT_EQ(options.learning_rate(), 0.1);
  options.optimizer = "adamw";
  EXPECT_EQ(options.learning_rate(), 0.001);
}

TEST(TrainOptions, EverySettingSurvivesTheConfiguration) {
  TrainOptions changed;
  changed.data = "a folder/with \"marks\" and, commas";
  changed.out = "a run";
  changed.label = "cell_type";
  changed.where = {"split=train,val", "cell_type=HUVEC"};
  changed.val = "val";
  changed.val_group = {"A", "B 2"};
  changed.val_fraction = 0.125;
  changed.group = "plate";
  changed.max_missing = 1.0;
  changed.white = 4095;
  changed.workers = 3;
  changed.cache_gib = 0.5;
  changed.fusion = "learned";
  changed.colormap = "colours.csv";
  changed.components = 2;
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
  changed.sampler = "plate";
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
  changed.adabn = "dataset";
  changed.seed = 12345678901234567890u;
  changed.device = "cpu";
  changed.dtype = "bf16";
  changed.deterministic = true;
  changed.autotune = true;
  const std::vector<TrainSetting> defaults = train_settings({}), others = train_settings(changed);
  for (size_t i = 0; i < defaults.size(); ++i)
    EXPECT_NE(others[i].value, defaults[i].value) << defaults[i].name;
  const TrainOptions read = round_trip(changed);
  EXPECT_EQ(format_train_config(read), format_train_config(changed));
  EXPECT_EQ(read.data, changed.data);
  EXPECT_THAT(read.where, ElementsAre("split=train,val", "cell_type=HUVEC"));
  EXPECT_THAT(read.val_group, ElementsAre("A", "B 2"));
  EXPECT_EQ(read.adabn, changed.adabn);
  EXPECT_EQ(read.seed, changed.seed);
  EXPECT_EQ(read.lr, changed.lr);
  EXPECT_FALSE(read.mirror);
  EXPECT_TRUE(read.zero_init_last);
}

TEST(TrainOptions, EveryTextSurvivesTheConfigurationAsItIs) {
  const std::string all_bytes = [] {
    std::string text;
    for (int byte = 1; byte < 256; ++byte) text += static_cast<char>(byte);
    return text;
  }();
  const std::string nasty[] = {
      "\"",        "'",    "a\"b'c", "# no comment", "a # b",   "[a, b]", "[]",  "{}",  ",",
      "a\nb",      "\r\n", "\t",     "\\",           "\\n",     "a\\",    " a ", "a=b", "=",
      "%s {} \\u", "true", "1e5",    "größe 细胞",   all_bytes, "\"\"\"", "-1",  "''"};
  for (const std::string& text : nasty) {
    TrainOptions options;
    for (std::string* field :
         {&options.data, &options.out, &options.label, &options.val, &options.group, &options.init_weights})
      *field = text;
    options.where = {text, "a=b", text + ","};
    options.val_group = {text, "A,B", text};
    const TrainOptions read = round_trip(options);
    for (const std::string* field :
         {&read.data, &read.out, &read.label, &read.val, &read.group, &read.init_weights})
      EXPECT_EQ(*field, text);
    EXPECT_EQ(read.where, options.where) << text;
    EXPECT_EQ(read.val_group, options.val_group) << text;
  }
}

TEST(TrainOptions, NumbersSurviveToTheLastBit) {
  for (const double value : {0.1, 1.0 / 3.0, 0.1 + 0.2, 1e-300, 0.12345678901234567}) {
    TrainOptions options;
    options.lr = options.weight_decay = value;
    EXPECT_EQ(round_trip(options).lr, value);
    EXPECT_EQ(round_trip(options).weight_decay, value);
  }
}

// config_file.h names the part of TOML that is read.
TEST(TrainOptions, AConfigurationWrittenByHandIsRead) {
  const test::TempDir folder;
  const auto file = folder.write("config.toml",
                                 "\xEF\xBB\xBF# a comment\r\n\r\n  epochs = 7  # seven\nmodel = 'small'\n"
                                 "val-group = [\n  \"A\",  # the first\n  'B \"2\"',\n]\nwhere=\"\"\n"
                                 "label = \"gr\\u00F6\\u00dfe \\U0001F9EB\"\nmirror=false\nbatch=010");
  const TrainOptions options = read_train_config(file);
  EXPECT_EQ(options.epochs, 7);
  EXPECT_EQ(options.model, "small");
  EXPECT_THAT(options.val_group, ElementsAre("A", "B \"2\""));
  EXPECT_TRUE(options.where.empty());
  EXPECT_EQ(options.label, "größe 🧫");
  EXPECT_FALSE(options.mirror);
  EXPECT_EQ(options.batch, 10);
}

// A setting that is declared and not written would be lost by a resumed run.
TEST(TrainOptions, EveryDeclaredOptionIsASetting) {
  TrainOptions options;
  CLI::App parser;
  declare_train_options(parser, options);
  std::vector<std::string> declared, written{"--help"};
  for (const CLI::Option* option : parser.get_options()) declared.push_back(option->get_name());
  for (const TrainSetting& setting : train_settings(options)) written.push_back("--" + setting.name);
  EXPECT_THAT(declared, testing::UnorderedElementsAreArray(written));
}

TEST(TrainOptions, AMalformedLineIsNamedAndCutShort) {
  const test::TempDir folder;
  const auto error = [&](const std::string& text) {
    const auto file = folder.write("config.toml", text);
    return test::message_of<Error>([&] { read_train_config(file); });
  };
  for (const auto& [text, reason] :
       {std::pair{"epochs=1\ndata=\"a", "line 2: a quote is not closed: 'data=\"a'"},
        {"data=\"a\nb\"\n", "line 1: a quote is not closed"},
        {"data='a\n'", "line 1: a quote is not closed"},
        {"data=\"a\\x\"", "a backslash begins no escape"},
        {"data=\"\\u00G0\"", "a number that is no character"},
        {"data=\"\\U00110000\"", "a number that is no character"},
        {"data=\"\\u1", "a number that is no character"},
        {"data=\"\\", "a backslash begins no escape"},
        {"data", "expected NAME=VALUE"},
        {"data=", "a value is missing"},
        {"data=a b", "more text behind the value"},
        {"=1", "expected NAME=VALUE"},
        {"[data", "a table's name is not closed"},
        {"where=[\"a=b\"", "a list is not closed"},
        {"where=[\"a=b\" \"c\"]", "a list is not closed"},
        {"epochs=[1, 2]", "--epochs: is one value, not a list"},
        {"seed=18446744073709551616", "--seed: '18446744073709551616' is not"},
        {"lr=1e-400", "--lr: '1e-400' is too small or too large"}}) {
    EXPECT_THAT(error(text), HasSubstr(reason)) << text;
  }
  const std::string long_text(100'000, 'x');
  for (const std::string& text : {long_text, long_text + "=1", "epochs=" + long_text, "data=\"" + long_text})
    EXPECT_LT(error(text).size(), 400U);
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
