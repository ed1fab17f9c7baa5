// What the command line says of run folders and weights that are not what they should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <thread>

#include "data/csv.h"
#include "engine/safetensors.h"
#include "tests/support/tiny_data.h"
#include "tools/run_folder.h"

namespace cytograd::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A dataset, a run of one epoch on it, and the commands that read the run.
class CliRun : public ::testing::Test {
 protected:
  CliRun() : data(write_tiny_data(dir / "data")), run(trained_run(data, dir / "run")) {}

  Words eval_words() const { return {"eval", "--model", run.string(), "--data", data.string()}; }
  Words predict_words() const {
    return {"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), data.string()};
  }

  /// eval, predict and a resumed training all refuse the run for the same reason.
  void expect_all_refuse(const Words& parts) {
    expect_error(run_command(eval_words()), kFailed, parts);
    expect_error(run_command(predict_words()), kFailed, parts);
    expect_error(train(data, run, {"--resume", "--epochs", "2"}), kFailed, parts);
    EXPECT_FALSE(fs::exists(dir / "p.csv"));
  }

  TempDir dir;
  fs::path data;
  fs::path run;
};

std::string header_length(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length));
}

std::string safetensors(const std::string& header, const std::string& tensors) {
  return header_length(header.size()) + header + tensors;
}

TEST_F(CliRun, ItsFilesAreTheseAndNoMore) {
  EXPECT_THAT(listing(run), ElementsAre("best.safetensors", "classes.csv", "config.toml", "last.safetensors",
                                        "metrics.csv"));
}

TEST_F(CliRun, WhatItIsNotToldIsAsTheHelpSays) {
  TrainOptions options;
  options.data = data.string();
  options.out = run.string();
  options.model = "small";
  options.stem = "3x3";  // of images of 16 pixels
  options.epochs = 1;
  options.batch = 4;
  options.workers = 1;
  options.device = "cpu";
  options.dtype = "f32";
  EXPECT_EQ(read_file(run / "config.toml"), format_train_config(options));
}

TEST_F(CliRun, AFolderThatHoldsARunIsNotTrainedOver) {
  const std::string before = read_file(run / "last.safetensors");
  expect_error(train(data, run), kFailed, {"run: there is a run already", "--resume", "another --out"});
  fs::remove(run / "config.toml");
  expect_error(train(data, run), kFailed, {"config.toml is gone; name another --out"});
  expect_error(train(data, run, {"--resume"}), kFailed, {"config.toml is gone; name another --out"});
  EXPECT_EQ(read_file(run / "last.safetensors"), before);
}

TEST_F(CliRun, AMissingRunOrMissingWeightsAreNamed) {
  expect_error(run_command({"eval", "--model", (dir / "other").string(), "--data", data.string()}), kFailed,
               {"other: there is no such run"});
  fs::remove(run / "best.safetensors");
  expect_error(run_command(eval_words()), kFailed, {"run: there are no trained weights (best.safetensors)"});
  fs::remove(run / "config.toml");
  expect_error(run_command({"eval", "--model", (run / "last.safetensors").string(), "--data", data.string()}),
               kFailed, {"config.toml: there are no settings"});
}

TEST_F(CliRun, HostileWeightsAreRefused) {
  const std::string whole = read_file(run / "best.safetensors");
  const std::pair<std::string, std::string> files[] = {
      {"", "too short for a header"},
      {"hello", "too short for a header"},
      {whole.substr(0, whole.size() - 5), "truncated"},
      {whole.substr(0, 40), "truncated"},
      {whole + "x", "behind the last tensor"},
      {header_length(UINT64_MAX) + "{}", "a header of 18446744073709551615 bytes"},
      {header_length(1000) + "{}", "truncated"},
      {safetensors("not json", ""), "not a safetensors file"},
      {safetensors("{\"a\":", ""), "not JSON"},
      {safetensors(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"),
       "a negative number"},
      {safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                   R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                   "123456"),
       "tensor 'b' begins at offset 2, where 4 is due"},
      {safetensors("{}", ""), "' is absent"},
  };
  for (const auto& [content, reason] : files) {
    dir.write("run/best.safetensors", content);
    expect_error(run_command(eval_words()), kFailed, {"best.safetensors: ", reason});
    dir.write("run/last.safetensors", content);
    expect_error(train(data, run, {"--resume", "--epochs", "2"}), kFailed, {"last.safetensors: ", reason});
  }
}

TEST_F(CliRun, WeightsThatPyTorchWroteAreEvaluatedAsOurs) {
  const CommandResult ours = run_command(eval_words());
  ASSERT_EQ(ours.code, 0) << ours.err;
  const SafetensorsFile file = read_safetensors(run / "best.safetensors");
  write_safetensors(run / "best.safetensors", file.tensors);  // its own files have no metadata of cytograd
  EXPECT_EQ(run_command(eval_words()).out, ours.out);
}

TEST_F(CliRun, WeightsOfAnotherModelAreRefused) {
  const fs::path resnet = trained_run(data, dir / "resnet", {"--model", "resnet18", "--shrink", "2"});
  fs::copy_file(resnet / "best.safetensors", run / "best.safetensors", fs::copy_options::overwrite_existing);
  fs::copy_file(resnet / "last.safetensors", run / "last.safetensors", fs::copy_options::overwrite_existing);
  expect_all_refuse({"safetensors: ", "another"});
}

TEST_F(CliRun, WeightsOfOtherClassesAreRefused) {
  const fs::path three = trained_run(write_tiny_data(dir / "three", {.classes = 3}), dir / "run3");
  fs::copy_file(three / "best.safetensors", run / "best.safetensors", fs::copy_options::overwrite_existing);
  fs::copy_file(three / "last.safetensors", run / "last.safetensors", fs::copy_options::overwrite_existing);
  expect_all_refuse({"safetensors: ", "another"});
}

TEST_F(CliRun, WeightsThatAreNoNumbersAreRefused) {
  SafetensorsFile file = read_safetensors(run / "best.safetensors");
  for (NamedTensor& item : file.tensors) {
    if (item.name != "fc.bias") continue;
    item.tensor = Tensor::full(item.tensor.shape(), std::numeric_limits<float>::quiet_NaN(), DType::f32);
  }
  write_safetensors(run / "best.safetensors", file.tensors, file.metadata);
  expect_error(run_command(eval_words()), kFailed, {"best.safetensors: tensor 'fc.bias' holds nan"});
  for (NamedTensor& item : file.tensors) {
    const float value = item.name.ends_with(".running_var") ? -1.0f : 0.0f;
    item.tensor = item.tensor.dtype() == DType::f32 ? Tensor::full(item.tensor.shape(), value) : item.tensor;
  }
  write_safetensors(run / "best.safetensors", file.tensors, file.metadata);
  expect_error(run_command(eval_words()), kFailed,
               {"best.safetensors: tensor 'bn", ".running_var' holds -1, which no variance is"});
}

TEST_F(CliRun, AnswersThatAreNoNumbersAreRefused) {
  SafetensorsFile file = read_safetensors(run / "best.safetensors");
  for (NamedTensor& item : file.tensors) {
    if (item.name == "fc.weight" || item.name == "bn4.weight" || item.name == "bn4.bias")
      item.tensor = Tensor::full(item.tensor.shape(), 3e38f, DType::f32);
  }
  write_safetensors(run / "best.safetensors", file.tensors, file.metadata);
  expect_error(run_command(eval_words()), kFailed, {"no numbers", "lower --lr"});
}

// Of a few bytes, which claim 2^59 windows of nothing.
TEST_F(CliRun, WeightsOfAbsurdShapesAreRefusedAtOnce) {
  const fs::path weights = dir.write(
      "w.safetensors",
      safetensors(
          R"({"conv1.weight":{"dtype":"F32","shape":[576460752303423488,0,1,1],"data_offsets":[0,0]}})", ""));
  const fs::path stem =
      dir.write("s.safetensors",
                safetensors(R"({"conv1.weight":{"dtype":"U8","shape":[32,3,3,3],"data_offsets":[0,864]}})",
                            std::string(864, 'x')));
  const CommandOptions soon{.limit = std::chrono::seconds(20)};
  expect_error(
      train(data, dir / "new", {"--init-weights", weights.string()}, soon), kFailed,
      {"w.safetensors: tensor 'conv1.weight' is f32 [576460752303423488, 0, 1, 1] but the model needs"});
  expect_error(train(data, dir / "new", {"--init-weights", stem.string()}, soon), kFailed,
               {"s.safetensors: tensor 'conv1.weight' is u8 but the model needs f32"});
  fs::copy_file(weights, run / "best.safetensors", fs::copy_options::overwrite_existing);
  expect_error(run_command(eval_words(), soon), kFailed,
               {"best.safetensors: the model is for images of 0 channels"});
}

TEST_F(CliRun, ACheckpointAgreesWithItself) {
  const SafetensorsFile whole = read_safetensors(run / "last.safetensors");
  const std::tuple<const char*, const char*, const char*> changes[] = {
      {"cytograd.best_accuracy", "nan", "the best accuracy is nan, not from 0 to 1"},
      {"cytograd.best_accuracy", "inf", "the best accuracy is inf"},
      {"cytograd.best_accuracy", "-0.5", "the best accuracy is -0.5"},
      {"cytograd.best_epoch", "0", "the best epoch is 0 of 1"},
      {"cytograd.best_epoch", "1x", "metadata 'cytograd.best_epoch' is '1x', not a number"},
      {"cytograd.best_epoch", "2", "the best epoch is 2 of 1"}};
  const auto resumed = [&](const SafetensorsFile& file) {
    write_safetensors(run / "last.safetensors", file.tensors, file.metadata);
    return train(data, run, {"--resume", "--epochs", "2"});
  };
  for (const auto& [key, value, reason] : changes) {
    SafetensorsFile file = whole;
    file.metadata[key] = value;
    expect_error(resumed(file), kFailed, {"last.safetensors: ", reason});
  }
  SafetensorsFile file = whole;
  file.metadata["cytograd.metrics"] = format_metrics({});
  expect_error(resumed(file), kFailed, {"last.safetensors: the metrics have no epoch"});
  file.metadata["cytograd.metrics"] = format_metrics({EpochMetrics{.epoch = 2}});
  expect_error(resumed(file), kFailed, {"last.safetensors: the metrics lack an epoch"});
  file = whole;
  for (NamedTensor& item : file.tensors) {
    if (item.name == "optimizer.step") item.tensor = Tensor::from(std::vector<int64_t>{INT64_MAX}, {});
  }
  expect_error(resumed(file), kFailed, {"last.safetensors: the saved count 'optimizer.step' is "});
  expect_ok(resumed(whole));
}

TEST_F(CliRun, BrokenSettingsAreRefused) {
  const std::string whole = read_file(run / "config.toml");
  const auto with = [&](const std::string& line, const std::string& other) {
    const size_t at = whole.find("\n" + line + "\n");
    EXPECT_NE(at, std::string::npos) << line;
    return whole.substr(0, at + 1) + other + whole.substr(at + 1 + line.size());
  };
  const std::pair<std::string, std::string> files[] = {
      {with("epochs=1", "epochs=many"), "--epochs: 'many' is not a whole number"},
      {with("model=\"small\"", "model=\"vgg\""), "--model: 'vgg' is none of"},
      {with("brightness=0", "brightness=nan"), "--brightness: 'nan' is not a number from 0 to 2"},
      {whole + "colour=\"red\"\n", "there is no setting 'colour'"},
      {whole + "[more]\nepochs=2\n", "there is no setting 'more."},
      {whole + "epochs=2\n", "'epochs' is set twice"}};
  for (const auto& [content, reason] : files) {
    dir.write("run/config.toml", content);
    expect_all_refuse({"config.toml: ", reason});
  }
  fs::remove(run / "config.toml");
  fs::create_directory(run / "config.toml");
  expect_error(run_command(eval_words()), kFailed, {"config.toml: is a folder, not a file"});
}

TEST_F(CliRun, BrokenClassesAreRefused) {
  for (const auto& [content, reason] :
       {std::pair{"", "classes.csv: is empty"},
        {"index,name\n", "classes.csv: there are no classes"},
        {"number,name\n0,a\n", "classes.csv: lacks the column 'index'"},
        {"index,name\n0,c0\nx,c1\n", "classes.csv:3: 'x' is not a number"},
        {"index,name\n0,c0\n2,c1\n", "classes.csv:3: expected class 1"},
        {"index,name\n0,c0\n1,c0\n", "classes.csv:3: the class 'c0' occurs twice"}}) {
    dir.write("run/classes.csv", content);
    expect_all_refuse({reason});
  }
}

TEST_F(CliRun, BrokenMetricsInACheckpointAreRefusedAndThoseBesideItAreWrittenAgain) {
  const std::string metrics = read_file(run / "metrics.csv");
  dir.write("run/metrics.csv", "rubbish");
  expect_ok(train(data, run, {"--resume"}));  // there is no epoch left to train
  EXPECT_EQ(read_file(run / "metrics.csv"), metrics);
  SafetensorsFile file = read_safetensors(run / "last.safetensors");
  file.metadata["cytograd.metrics"] = "rubbish";
  write_safetensors(run / "last.safetensors", file.tensors, file.metadata);
  expect_error(train(data, run, {"--resume", "--epochs", "2"}), kFailed,
               {"last.safetensors: lacks the column"});
}

TEST_F(CliRun, AResumedRunKeepsItsSettings) {
  const std::string config = read_file(run / "config.toml"), last = read_file(run / "last.safetensors");
  const std::pair<Words, std::string> changes[] = {
      {{"--optimizer", "adamw"}, "--optimizer: the run in RUN has \"sgd\", which cannot become \"adamw\""},
      {{"--ema", "0.9"}, "--ema: the run in RUN has 0, which cannot become 0.9"},
      {{"--seed", "1"}, "--seed: the run in RUN has 0, which cannot become 1"},
      {{"--lr", "0.5"}, "--lr: the run in RUN has 0, which cannot become 0.5"},
      {{"--shrink", "2"}, "--shrink: the run in RUN has 1, which cannot become 2"},
      {{"--fusion", "learned"}, "--fusion: the run in RUN has \"none\""},
      {{"--normalize", "unit"}, "--normalize: the run in RUN has \"image\""},
      {{"--no-mirror"}, "--mirror: the run in RUN has true, which cannot become false"},
      {{"--val-group", "g1,g2"}, "--val-group: the run in RUN has [], which cannot become [\"g1\", \"g2\"]"},
      {{"--where", "group=g1"}, "--where: the run in RUN has [], which cannot become [\"group=g1\"]"},
      {{"--val-fraction", "0.5"}, "--val-fraction: the run in RUN has 0.2"},
      {{"--batch", "8"}, "--batch: the run in RUN has 4, which cannot become 8"},
      {{"--stem", "7x7"}, "--stem: the run in RUN has \"3x3\""},
      {{"--config", "other.toml"}, "--config: a resumed run has its own settings"},
  };
  for (const auto& [words, message] : changes) {
    std::string expected = message;
    if (const size_t at = expected.find("RUN"); at != std::string::npos)
      expected.replace(at, 3, run.string());
    expect_error(run_command(Words{"train", "--resume", "--out", run.string(), "--epochs", "2"} + words),
                 kWrongUsage, {expected});
  }
  EXPECT_EQ(read_file(run / "config.toml"), config);
  EXPECT_EQ(read_file(run / "last.safetensors"), last);
  expect_ok(train(data, run,
                  {"--resume", "--epochs", "2", "--stem", "auto", "--seed", "0", "--workers", "2",
                   "--cache-gib", "0", "--max-missing", "0.5"}));
}

TEST_F(CliRun, EpochsOfAResumedRunMayGrow) {
  expect_error(
      train(data, trained_run(data, dir / "two", {"--epochs", "2"}), {"--resume", "--epochs", "1"}),
      kWrongUsage,
      {"--epochs: the one_cycle schedule of the run is laid out for 2 epochs; it can be made longer"});
  const CommandResult longer = train(data, run, {"--resume", "--epochs", "2"});
  expect_ok(longer);
  EXPECT_THAT(longer.err,
              HasSubstr("note: the one_cycle schedule is laid out anew, for 2 epochs in place of 1"));
  const fs::path constant = trained_run(data, dir / "constant", {"--schedule", "constant", "--epochs", "3"});
  expect_error(train(data, constant, {"--resume", "--epochs", "2"}), kWrongUsage,
               {"--epochs: 3 epochs are done already"});
  EXPECT_EQ(train(data, constant, {"--resume", "--epochs", "4"}).err, "");
}

TEST_F(CliRun, DeterministicAndAutotunedExcludeEachOther) {
  const std::vector<std::string> parts{"--autotune: what is fastest differs from run to run",
                                       "--no-autotune"};
  expect_error(train(data, dir / "both", {"--deterministic", "--autotune"}), kWrongUsage, parts);
  EXPECT_FALSE(fs::exists(dir / "both" / "config.toml"));
  const fs::path autotuned = trained_run(data, dir / "autotuned", {"--autotune"});
  const Words resumed{"--resume", "--epochs", "2", "--deterministic"};
  expect_error(train(data, autotuned, resumed), kWrongUsage, parts);
  expect_ok(train(data, autotuned, resumed + Words{"--no-autotune"}));
}

TEST_F(CliRun, AResumedRunKeepsItsValidationImages) {
  // The same images and classes, but other groups.
  const fs::path other = write_tiny_data(dir / "other", {.groups = 6});
  expect_error(
      run_command({"train", "--resume", "--out", run.string(), "--epochs", "2", "--data", other.string()}),
      kFailed, {"last.safetensors: the run began with other validation images"});
  // Without groups, single images were drawn.
  const fs::path single = write_tiny_data(dir / "single", {.groups = 0});
  const fs::path single_run = trained_run(single, dir / "single_run");
  std::ofstream(single / "labels.csv", std::ios::app) << "more.png,c0\nmore2.png,c1\n";
  for (const char* name : {"more.png", "more2.png"}) fs::copy_file(single / "i0.png", single / name);
  expect_error(train(single, single_run, {"--resume", "--epochs", "2"}), kFailed,
               {"the run began with other images"});
  // The same images of the same groups, but other labels.
  const fs::path swapped = write_tiny_data(dir / "swapped");
  const std::string labels = read_file(swapped / "labels.csv");
  dir.write("swapped/labels.csv", std::regex_replace(labels, std::regex("i0.png,c0"), "i0.png,c1"));
  expect_error(
      run_command({"train", "--resume", "--out", run.string(), "--epochs", "2", "--data", swapped.string()}),
      kFailed, {"last.safetensors: the run began with other images, or other labels"});
  // The same groups, but other images in them.
  const fs::path regrouped = write_tiny_data(dir / "regrouped");
  std::string groups = read_file(regrouped / "labels.csv");
  groups = std::regex_replace(groups, std::regex("i0.png,c0,g0"), "i0.png,c0,g1");
  dir.write("regrouped/labels.csv", std::regex_replace(groups, std::regex("i2.png,c0,g1"), "i2.png,c0,g0"));
  expect_error(run_command({"train", "--resume", "--out", run.string(), "--epochs", "2", "--data",
                            regrouped.string()}),
               kFailed, {"last.safetensors: the run began with other groups"});
  // A folder that moved is the same data.
  fs::rename(data, dir / "moved");
  expect_ok(run_command(
      {"train", "--resume", "--out", run.string(), "--epochs", "2", "--data", (dir / "moved").string()}));
}

TEST_F(CliRun, WeightsBesideTheirAveragesAreTakenWithANote) {
  const fs::path averaged = trained_run(data, dir / "averaged", {"--ema", "0.9"});
  const std::string last = (averaged / "last.safetensors").string();
  const CommandResult of_last = run_command({"eval", "--model", last, "--data", data.string()});
  expect_ok(of_last);
  EXPECT_THAT(of_last.err, HasSubstr("not with their averages, which best.safetensors has"));
  const CommandResult of_best = run_command({"eval", "--model", averaged.string(), "--data", data.string()});
  EXPECT_THAT(of_best.err, Not(HasSubstr("averages")));
}

TEST_F(CliRun, SettingsOrClassesOfAnotherRunAreRefused) {
  const std::string config = read_file(run / "config.toml");
  for (const auto& [line, other] : {std::pair{"normalize=\"image\"", "normalize=\"unit\""},
                                    {"white=65535", "white=4095"},
                                    {"shrink=1", "shrink=2"},
                                    {"crop=0", "crop=8"}}) {
    std::string changed = config;
    const size_t at = changed.find(std::string("\n") + line);
    ASSERT_NE(at, std::string::npos) << line;
    dir.write("run/config.toml", changed.replace(at + 1, std::string(line).size(), other));
    expect_all_refuse({"safetensors: cytograd.", "the weights are of another run"});
  }
  dir.write("run/config.toml", config);
  dir.write("run/classes.csv", "index,name\n0,c1\n1,c0\n");
  expect_error(run_command(eval_words()), kFailed, {"trained on other classes than classes.csv names"});
  expect_error(run_command(predict_words()), kFailed, {"trained on other classes than classes.csv names"});
  expect_error(train(data, run, {"--resume", "--epochs", "2"}), kFailed, {"classes.csv: the classes of"});
}

TEST_F(CliRun, WithoutARunThereIsNothingToResume) {
  expect_error(train(data, dir / "new", {"--resume"}), kFailed,
               {"new: there is no run to resume; train without --resume"});
  EXPECT_FALSE(fs::exists(dir / "new"));
  // A run that was killed before its first checkpoint has settings alone.
  const std::string config = read_file(run / "config.toml");
  for (const char* file : {"best.safetensors", "last.safetensors", "metrics.csv", "classes.csv"})
    fs::remove(run / file);
  expect_ok(run_command({"train", "--resume", "--out", run.string()}));
  EXPECT_EQ(read_file(run / "config.toml"), config);
}

TEST_F(CliRun, LostBestWeightsAreWrittenAgain) {
  const fs::path three = trained_run(data, dir / "three", {"--epochs", "3", "--schedule", "constant"});
  fs::remove(three / "best.safetensors");
  const CommandResult result = train(data, three, {"--resume", "--epochs", "3", "--schedule", "constant"});
  expect_ok(result);
  EXPECT_THAT(result.err, HasSubstr("best.safetensors was gone; the weights of epoch 3 take its place"));
  EXPECT_THAT(result.out, HasSubstr("best epoch 3 of 3"));
  EXPECT_EQ(train(data, three, {"--resume", "--epochs", "3", "--schedule", "constant"}).err, "");
}

TEST_F(CliRun, DamagedBestWeightsAreWrittenAgain) {
  const fs::path best = run / "best.safetensors";
  // Of an epoch that is not the last, so that they are not written anyway.
  std::string worse;
  for (int seed = 0; worse.empty() && seed < 20; ++seed) {
    fs::remove_all(run);
    const CommandResult trained =
        train(data, run, {"--epochs", "3", "--lr", "0.3", "--seed", std::to_string(seed)});
    expect_ok(trained);
    if (trained.out.find("best epoch 3 of 3") == std::string::npos) worse = trained.out;
  }
  ASSERT_NE(worse, "");
  const std::string whole = read_file(best), last = read_file(run / "last.safetensors");
  std::string damaged = whole;
  for (size_t i = damaged.size() - 400; i < damaged.size(); ++i) damaged[i] = '\xff';
  const fs::path other = trained_run(data, dir / "other", {"--model", "resnet18"});
  const std::string of_another_epoch =
      std::regex_replace(whole, std::regex(R"("cytograd.epoch":"[12]")"), R"("cytograd.epoch":"3")");
  ASSERT_NE(of_another_epoch, whole);
  for (const std::string& bytes :
       {whole.substr(0, whole.size() / 2), damaged, read_file(other / "best.safetensors"), of_another_epoch,
        last, std::string()}) {
    dir.write("run/best.safetensors", bytes);
    dir.write("run/last.safetensors", last);
    const CommandResult result = run_command({"train", "--resume", "--out", run.string()});
    expect_ok(result);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("best.safetensors"), HasSubstr("the weights of epoch 3 take its place")));
    EXPECT_THAT(result.out, HasSubstr("best epoch 3 of 3"));
  }
}

TEST_F(CliRun, BestWeightsAloneAreNotTrainedOver) {
  const std::string best = read_file(run / "best.safetensors");
  fs::remove(run / "last.safetensors");
  expect_error(run_command({"train", "--resume", "--out", run.string()}), kFailed,
               {"run: the last.safetensors that this run would go on from is gone", "--init-weights"});
  EXPECT_EQ(read_file(run / "best.safetensors"), best);
}

TEST_F(CliRun, OtherLabelsOfTheImagesOfValAreRefused) {
  const fs::path val = write_tiny_data(dir / "val", {.images = 8});
  const fs::path with_val =
      trained_run(data, dir / "with_val", {"--val", val.string(), "--schedule", "constant"});
  const std::string labels = read_file(val / "labels.csv");
  dir.write("val/labels.csv", std::regex_replace(labels, std::regex("i0.png,c0"), "i0.png,c1"));
  const Words more{"train", "--resume", "--out", with_val.string(), "--epochs", "2"};
  expect_error(run_command(more), kFailed, {"or other labels of those of --val"});
  dir.write("val/labels.csv", labels);
  expect_ok(run_command(more));
}

TEST_F(CliRun, APipeInPlaceOfSettingsOrWeightsDoesNotBlock) {
  const fs::path pipe = run / "pipe.safetensors";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const CommandOptions soon{.limit = std::chrono::seconds(20)};
  expect_error(run_command({"eval", "--model", pipe.string(), "--data", data.string()}, soon), kFailed,
               {"pipe.safetensors: cannot read: not a regular file"});
  expect_error(train(data, dir / "new", {"--init-weights", pipe.string()}, soon), kFailed,
               {"not a regular file"});
  expect_error(train(data, dir / "new", {"--config", pipe.string()}, soon), kFailed,
               {"pipe.safetensors: is not a regular file"});
  EXPECT_FALSE(fs::exists(dir / "new"));
}

TEST_F(CliRun, WeightsOfADeeperNetworkStartNoShallowerOne) {
  const fs::path few = write_tiny_data(dir / "few", {.images = 8});
  const fs::path deep = trained_run(few, dir / "deep", {"--model", "resnet34", "--shrink", "2"});
  const Words from{"--model", "resnet18", "--init-weights", (deep / "last.safetensors").string()};
  expect_error(train(few, dir / "new", from), kFailed,
               {"last.safetensors: the model has no tensor 'layer", "more; the file is for another model"});
  EXPECT_FALSE(fs::exists(dir / "new"));
  const fs::path three = write_tiny_data(dir / "three", {.images = 9, .classes = 3});
  expect_ok(train(
      three, dir / "new",
      {"--model", "resnet34", "--shrink", "2", "--init-weights", (deep / "last.safetensors").string()}));
}

TEST_F(CliRun, ImagesOfOtherSizesAreNoMatterOfTrainingForThoseWhoPredict) {
  const fs::path mixed = write_tiny_data(dir / "mixed");
  write_png(mixed / "i7.png", tiny_image({.side = 12}, 7));
  const CommandResult result =
      run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), mixed.string()});
  expect_error(result, kFailed,
               {"i7.png is 12 x 12 pixels but", "the model takes whole images, all of one size"});
  EXPECT_THAT(result.err, ::testing::Not(HasSubstr("--crop")));
  const fs::path tiny = write_tiny_data(dir / "tiny", {.side = 1});
  const fs::path shrunk = trained_run(data, dir / "shrunk", {"--shrink", "2"});
  expect_error(
      run_command({"eval", "--model", shrunk.string(), "--data", tiny.string()}), kFailed,
      {"images of 1 x 1 pixels are smaller than --shrink 2 averages; the model was trained on larger ones"});
}

TEST_F(CliRun, AResumedRunKeepsItsClasses) {
  std::ofstream(data / "labels.csv", std::ios::app) << "new.png,new,g1\nnew2.png,new,g2\n";
  for (const char* name : {"new.png", "new2.png"}) fs::copy_file(data / "i0.png", data / name);
  expect_error(train(data, run, {"--resume", "--epochs", "2"}), kFailed,
               {"classes.csv: the classes of", "are not those the run began with"});
}

TEST_F(CliRun, EvalNeedsLabelsThatTheModelKnows) {
  const fs::path plain = dir / "plain";
  fs::create_directory(plain);
  fs::copy_file(data / "i0.png", plain / "i0.png");
  expect_error(run_command({"eval", "--model", run.string(), "--data", plain.string()}), kFailed,
               {"plain: the images have no labels to compare with; use 'cytograd predict'"});
  std::ofstream(data / "labels.csv", std::ios::app) << "new.png,new,g1\n";
  fs::copy_file(data / "i0.png", data / "new.png");
  expect_error(run_command(eval_words()), kFailed,
               {"image new.png has the label 'new', which is no class of the model; 1 of ",
                " images have such labels (new); --where label=LABEL,... keeps others"});
}

TEST_F(CliRun, EvalTellsWhatEachClassIsTakenFor) {
  const fs::path json = dir / "figures.json";
  std::string table_text = read_file(data / "labels.csv");
  table_text.replace(table_text.find(",c0"), 3, ",c1");  // a network that errs
  dir.write("data/labels.csv", table_text);
  const CommandResult eval = run_command(eval_words() + Words{"--json", json.string()});
  expect_ok(eval);
  expect_ok(run_command(predict_words()));
  std::map<std::string, std::string> labels;  // of file names
  const CsvTable truth = read_csv(data / "labels.csv");
  for (const auto& row : truth.rows)
    labels[fs::path(row.at(truth.require_column("image"))).filename().string()] =
        row.at(truth.require_column("label"));
  std::map<std::string, std::map<std::string, int64_t>> expected;
  const CsvTable table = read_csv(dir / "p.csv");
  for (const auto& row : table.rows)
    ++expected[labels.at(fs::path(row.at(table.require_column("image"))).filename().string())]
              [row.at(table.require_column("label"))];
  int64_t errors = 0;
  const nlohmann::json figures = nlohmann::json::parse(read_file(json));
  ASSERT_EQ(figures["per_class"].size(), 2u);
  for (const nlohmann::json& of_class : figures["per_class"]) {
    const std::string name = of_class["class"];
    std::map<std::string, int64_t> predicted;
    for (const nlohmann::json& as : of_class["predicted"]) predicted[as["class"]] = as["count"];
    EXPECT_EQ(predicted, expected[name]) << name;
    for (const auto& [as, count] : predicted) {
      if (as == name) continue;
      EXPECT_THAT(eval.out, HasSubstr(fmt::format(", {} taken for {}\n", count, as)));
      ++errors;
    }
  }
  EXPECT_GT(errors, 0);
}

TEST_F(CliRun, PredictNeedsImagesOfTheModelsKind) {
  const fs::path rgb = write_tiny_data(dir / "rgb", {.channels = 3});
  expect_error(
      run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), rgb.string()}),
      kFailed, {"rgb: the images have 3 channels but the model was trained on 1"});
  const std::string image = (data / "i0.png").string();
  expect_error(
      run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), image, image}),
      kFailed, {"i0.png: is given twice"});
  expect_error(
      run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), "absent.png"}),
      kFailed, {"absent.png: there is no such file or folder"});
  EXPECT_FALSE(fs::exists(dir / "p.csv"));
  expect_ok(run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), "--where",
                         "group=g1", data.string()}));
  EXPECT_THAT(read_file(dir / "p.csv"), HasSubstr("image,label,probability,label_2,probability_2\ni2.png,"));
}

TEST_F(CliRun, EvalIsOfTheRunsLabelAndOfTheTreatmentsOfEverySplit) {
  std::string table = "image,sirna,well_type,split\n";
  for (int i = 0; i < 24; ++i) {
    const std::string kind = i < 20 ? fmt::format("s{},treatment", i % 2) : std::string("none,control");
    table += fmt::format("i{}.png,{},{}\n", i, kind, i % 3 == 0 ? "test" : i % 3 == 1 ? "val" : "train");
  }
  dir.write("data/labels.csv", table);
  fs::remove_all(run);
  trained_run(data, run, {"--label", "sirna"});
  const CommandResult result = run_command(eval_words());
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr(", label sirna\n  images          20\n"));
}

TEST_F(CliRun, EvalReportsByTheGroupThatIsAskedFor) {
  EXPECT_THAT(run_command(eval_words()).out, HasSubstr("accuracy by group\n    g0 "));
  EXPECT_THAT(run_command(eval_words() + Words{"--group", "label"}).out,
              HasSubstr("accuracy by group\n    c0 "));
}

TEST_F(CliRun, EvalNeedsImagesOfTheModelsKind) {
  const fs::path rgb = write_tiny_data(dir / "rgb", {.channels = 3});
  expect_error(run_command({"eval", "--model", run.string(), "--data", rgb.string()}), kFailed,
               {"rgb: the images have 3 channels but the model was trained on 1"});
}

// Without a cache, an image is found to be unreadable when it is classified.
TEST_F(CliRun, EvalAndPredictCountImagesThatAreLost) {
  fs::remove_all(run);
  trained_run(data, run, {"--cache-gib", "0"});
  for (const char* image : {"i5.png", "i6.png"}) dir.write(fs::path("data") / image, "no picture");
  for (const Words& words : {eval_words(), predict_words()}) {
    expect_error(run_command(words), kFailed, {"2 of 24 images are missing or unreadable"});
    const CommandResult allowed = run_command(words + Words{"--max-missing", "0.1"});
    expect_ok(allowed);
    EXPECT_THAT(allowed.err, HasSubstr("unreadable, skipped: "));
    EXPECT_THAT(allowed.err, HasSubstr("i6.png"));
  }
  for (const char* image : {"i5.png", "i6.png"}) fs::remove(data / image);
  const Words both{data.string(), write_tiny_data(dir / "more", {.images = 4}).string()};
  const Words predict{"predict", "--model", run.string(), "--out", (dir / "q.csv").string()};
  expect_error(run_command(predict + both), kFailed, {"2 of 28 samples (7.1%) are missing"});
  expect_ok(run_command(predict + both + Words{"--max-missing", "0.1"}));
}

TEST_F(CliRun, PredictNamesAsManyClassesAsItIsAskedFor) {
  const fs::path many = write_tiny_data(dir / "many", {.images = 28, .classes = 7, .groups = 0});
  dir.write("many/labels.csv",
            std::regex_replace(read_file(many / "labels.csv"), std::regex(",c6"), ",\"c6, a\"\"b\""));
  trained_run(many, dir / "run7");
  const Words words{"predict",    "--model", (dir / "run7").string(), "--out", (dir / "p.csv").string(),
                    many.string()};
  for (const size_t top : {1, 5, 6, 7}) {
    expect_ok(run_command(words + Words{"--top", std::to_string(top)}));
    const CsvTable table = read_csv(dir / "p.csv");
    ASSERT_EQ(table.columns.size(), 1 + 2 * top);
    std::set<std::string> labels;
    for (size_t k = 0; k < top; ++k) labels.insert(table.rows[0][1 + 2 * k]);
    EXPECT_EQ(labels.size(), top);
    if (top == 7) {
      EXPECT_TRUE(labels.contains("c6, a\"b"));
    }
  }
  expect_error(run_command(words + Words{"--where", "label=c1", (many / "i1.png").string()}), kFailed,
               {"--where chooses from a dataset"});
}

// A run is resumed from whatever folder.
TEST_F(CliRun, TheSettingsHaveAbsolutePaths) {
  write_tiny_data(dir / "val");
  fs::copy_file(run / "best.safetensors", dir / "start.safetensors");
  expect_ok(
      run_command(train_words("data", "relative", {"--val", "val", "--init-weights", "start.safetensors"}),
                  {.folder = dir.path()}));
  const std::string settings = read_file(dir / "relative/config.toml"),
                    root = fs::canonical(dir.path()).string();
  EXPECT_THAT(settings, HasSubstr("data=\"" + root + "/data\"\n"));
  EXPECT_THAT(settings, HasSubstr("\nval=\"" + root + "/val\"\n"));
  EXPECT_THAT(settings, HasSubstr("\ninit-weights=\"" + root + "/start.safetensors\"\n"));
}

TEST_F(CliRun, EvalOfTheTrainingImagesSaysSo) {
  EXPECT_THAT(run_command(eval_words()).err, HasSubstr("note: "));
  EXPECT_THAT(run_command(eval_words() + Words{"--where", "group=g1"}).err, HasSubstr("may have images"));
  // From another folder too, and by another way to the data.
  fs::create_directory_symlink(data, dir / "link");
  const CommandResult linked =
      run_command({"eval", "--model", "run", "--data", "link"}, {.folder = dir.path()});
  expect_ok(linked);
  EXPECT_THAT(linked.err, HasSubstr("note: link has the images that run was trained on"));
  expect_ok(run_command(train_words("data", "relative"), {.folder = dir.path()}));
  EXPECT_THAT(run_command({"eval", "--model", "../relative", "--data", "."}, {.folder = data}).err,
              HasSubstr("note: "));
  EXPECT_EQ(
      run_command({"eval", "--model", run.string(), "--data", write_tiny_data(dir / "else").string()}).err,
      "");
}

class CliAdabn : public CliRun {
 protected:
  CliAdabn() {
    fs::remove_all(run);
    trained_run(data, run, {"--sampler", "group", "--val-group", "g1,g3", "--normalize", "unit"});
  }

  nlohmann::json figures(const Words& more) {
    const std::string file = (dir / "figures.json").string();
    expect_ok(run_command(eval_words() + Words{"--json", file, "--where", "group=g1,g3"} + more));
    return nlohmann::json::parse(read_file(file));
  }
};

TEST_F(CliAdabn, EvaluationIsAsTheRunWasValidated) {
  const std::vector<EpochMetrics> rows = parse_metrics(read_file(run / "metrics.csv"), "metrics.csv");
  const nlohmann::json as_validated = figures({});
  EXPECT_EQ(as_validated["adabn"], "group");
  EXPECT_NEAR(as_validated["loss"], rows.at(0).val_loss, 1e-6) << "metrics.csv has six digits";
  EXPECT_EQ(figures({"--adabn", "group"}), as_validated);
  const nlohmann::json plain = figures({"--adabn", "none"});
  EXPECT_EQ(plain["adabn"], "none");
  EXPECT_NE(plain["loss"], as_validated["loss"]);
  EXPECT_NE(figures({"--adabn", "dataset"})["loss"], as_validated["loss"]);
}

TEST_F(CliAdabn, GroupsOfSeveralFoldersAreKeptApart) {
  const fs::path other = write_tiny_data(dir / "other", {.images = 12});
  const auto predicted = [&](const Words& inputs) {
    const std::string out = (dir / "p.csv").string();
    expect_ok(run_command(Words{"predict", "--model", run.string(), "--out", out} + inputs));
    return read_file(out);
  };
  const auto figures_of = [](const std::string& table) {  // without the names
    return std::regex_replace(table, std::regex("[^\n]*/"), "");
  };
  const std::string both = figures_of(predicted({data.string(), other.string()}));
  const std::string first = figures_of(predicted({data.string()})),
                    second = figures_of(predicted({other.string()}));
  EXPECT_EQ(both, first + second.substr(second.find('\n') + 1));
}

// An earlier version validated by the training's statistics, whatever the sampler.
TEST_F(CliAdabn, ARunOfAnEarlierVersionIsEvaluatedAndGoesOnAsItBegan) {
  const nlohmann::json plain = figures({"--adabn", "none"});
  const std::string config = read_file(run / "config.toml");
  dir.write("run/config.toml", std::regex_replace(config, std::regex("adabn=.*\n"), ""));
  EXPECT_EQ(figures({}), plain);
  expect_ok(train(data, run, {"--resume", "--epochs", "2"}));
  EXPECT_THAT(read_file(run / "config.toml"), HasSubstr("adabn=\"none\""));
}

TEST_F(CliAdabn, ImagesWithoutGroupsAreRefusedUntilTheUserChooses) {
  const std::string out = (dir / "p.csv").string();
  const Words words{"predict", "--model", run.string(), "--out", out, (data / "i1.png").string()};
  expect_error(run_command(words), kFailed,
               {"i1.png", "no groups", "--adabn group, as the --sampler, needs them"});
  EXPECT_FALSE(fs::exists(out));
  expect_ok(run_command(words + Words{"--adabn", "none"}));
  expect_error(run_command(eval_words() + Words{"--adabn", "plate"}), kFailed,
               {"has no column 'plate'", "--adabn plate needs them"});
}

TEST(CliTrain, TakesF32WhereOneDnnMayNotUseWhatTheProcessorHas) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const Words words{"train",
                    "--data",
                    (dir / "data").string(),
                    "--out",
                    (dir / "run").string(),
                    "--model",
                    "small",
                    "--epochs",
                    "1",
                    "--batch",
                    "4",
                    "--device",
                    "cpu"};
  const CommandResult result =
      run_command(Words{"ONEDNN_MAX_CPU_ISA=AVX2", binary()} + words, {.program = "/usr/bin/env"});
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr("cpu in f32"));
}

// A run of a GPU in f16 is no less a model where there is none.
TEST_F(CliRun, F16BecomesWhatACpuHas) {
  const auto words = [&](const std::string& name, const Words& more = {}) {
    return Words{"predict",     "--model",  run.string(), "--out", (dir / name).string(),
                 data.string(), "--device", "cpu"} +
           more;
  };
  expect_ok(run_command(words("before.csv", {"--dtype", "auto"})));
  const std::string config = read_file(run / "config.toml");
  dir.write("run/config.toml", std::regex_replace(config, std::regex(R"(dtype="\w+")"), R"(dtype="f16")"));
  ASSERT_NE(read_file(run / "config.toml"), config);
  const CommandResult predicted = run_command(words("after.csv"));
  expect_ok(predicted);
  EXPECT_THAT(predicted.err, HasSubstr("note: the run computed in f16, which needs a GPU; here in "));
  EXPECT_EQ(read_file(dir / "after.csv"), read_file(dir / "before.csv"));
  expect_error(run_command(words("p.csv", {"--dtype", "f16"})), kFailed, {"--dtype f16 needs a GPU"});
  expect_ok(run_command(eval_words() + Words{"--device", "cpu"}));
}

TEST_F(CliRun, HowItIsEvaluatedMayDifferFromTheRun) {
  const auto predictions = [&](const Words& more) {
    expect_ok(run_command(predict_words() + Words{"--dtype", "f32"} + more));
    return read_file(dir / "p.csv");
  };
  const std::string before = predictions({});
  EXPECT_EQ(predictions({"--batch", "3", "--workers", "1", "--cache-gib", "0"}), before);
  const CommandResult small = run_command(predict_words() + Words{"--batch", "0"});
  expect_error(small, kWrongUsage, {"--batch"});
}

// A pack's shard that is cut short while it is read from.
TEST(CliTrain, AMappedFileThatShrinksIsAnError) {
  const TempDir dir;
  expect_ok(run_command(
      {"pack", "--data", write_tiny_data(dir / "data").string(), "--out", (dir / "pack").string()}));
  std::thread cut([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(50);
    while (!fs::exists(dir / "run/metrics.csv") && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    fs::resize_file(dir / "pack/shard-00000.safetensors", 0);
  });
  const CommandResult result =
      train(dir / "pack", dir / "run", {"--epochs", "100000", "--schedule", "constant"});
  cut.join();
  expect_error(result, kFailed, {"was cut short"});
}

// oneDNN's kernels waited for a thread that OpenMP had told of and did not give.
TEST(CliTrain, EndsWhateverOpenMPIsToldOfThreads) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.side = 64});
  for (const char* setting : {"OMP_DYNAMIC=true", "OMP_THREAD_LIMIT=1", "OMP_MAX_ACTIVE_LEVELS=0"}) {
    SCOPED_TRACE(setting);
    const Words words = train_words(dir / "data", dir / setting, {"--model", "resnet18", "--batch", "16"});
    expect_ok(
        run_command(Words{"OMP_NUM_THREADS=2", setting, binary()} + words, {.program = "/usr/bin/env"}));
  }
}

}  // namespace
}  // namespace cytograd::test
