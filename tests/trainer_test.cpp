#include "tools/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/safetensors.h"
#include "tests/support/tiny_data.h"
#include "tests/support/values.h"
#include "tools/trained_run.h"

namespace cytograd {
namespace {

using test::message_of;
using test::TempDir;
using ::testing::HasSubstr;

/// A dataset in memory and a folder to train into.
class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    options.data = test::write_tiny_data(dir / "data").string();
    options.model = "small";
    options.stem = "3x3";
    options.batch = 4;
    options.epochs = 3;
    options.dtype = "f32";
    options.device = "cpu";
  }

  /// Trains into the folder `name` and returns its rows.
  std::vector<EpochMetrics> train(const std::string& name) {
    TrainingData data = load_training_data(options);
    const RunFolder folder(dir / name);
    std::filesystem::create_directories(folder.path());
    folder.write_classes(data.classes);
    Trainer trainer(options, data, {}, folder);
    testing::internal::CaptureStdout();
    trainer.run();
    printed = testing::internal::GetCapturedStdout();
    progress = trainer.progress();
    return progress.history;
  }

  std::string refusal() {
    TrainingData data = load_training_data(options);
    return message_of<Error>([&] {
      Trainer(options, data, make_fusion_tables(options, *data.images->store, data.train, Device::cpu),
              RunFolder(dir / "run"));
    });
  }

  const test::Threads threads{1};  // a tiny model gains nothing from more
  TempDir dir;
  TrainOptions options;
  TrainingProgress progress;
  std::string printed;
};

TEST_F(TrainerTest, EveryEpochHasARowALineAndACheckpoint) {
  const std::vector<EpochMetrics> rows = train("run");
  ASSERT_EQ(rows.size(), 3U);
  const std::vector<EpochMetrics> written =
      parse_metrics(test::read_file(dir / "run/metrics.csv"), "metrics.csv");
  ASSERT_EQ(written.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(written[i].epoch, static_cast<int64_t>(i) + 1);
    EXPECT_GT(rows[i].images_per_second, 0.0);
    EXPECT_GE(rows[i].val_accuracy, 0.0);
    EXPECT_LE(rows[i].val_accuracy, 1.0);
  }
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 3);
  EXPECT_TRUE(std::filesystem::exists(dir / "run/last.safetensors"));
}

TEST_F(TrainerTest, TheBestEpochIsTheFirstOfTheHighestValidationAccuracy) {
  options.epochs = 6;
  const std::vector<EpochMetrics> rows = train("run");
  const auto best = std::max_element(
      rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.val_accuracy < b.val_accuracy; });
  EXPECT_EQ(progress.best_epoch, best->epoch);
  EXPECT_EQ(read_safetensors(dir / "run/best.safetensors").metadata.at("cytograd.epoch"),
            std::to_string(best->epoch));
}

TEST_F(TrainerTest, BrightImagesAreToldFromDarkOnes) {
  options.normalize = "unit";
  options.epochs = 8;
  options.lr = 0.02;
  EXPECT_GT(train("run").back().train_accuracy, 0.9);
}

TEST_F(TrainerTest, TheLearningRateOfTheConstantScheduleIsTheOptions) {
  options.schedule = "constant";
  options.lr = 0.03;
  options.warmup = 0.0;
  for (const EpochMetrics& row : train("run")) EXPECT_NEAR(row.learning_rate, 0.03, 1e-8);
}

TEST_F(TrainerTest, BestHoldsTheAveragedWeightsAndLastBoth) {
  options.ema = 0.9;
  options.epochs = 1;
  train("run");
  const SafetensorsFile best = read_safetensors(dir / "run/best.safetensors");
  const SafetensorsFile last = read_safetensors(dir / "run/last.safetensors");
  ASSERT_NE(last.find("ema.fc.bias"), nullptr);
  EXPECT_EQ(best.find("fc.bias")->to_vector<float>(), last.find("ema.fc.bias")->to_vector<float>());
  EXPECT_NE(best.find("fc.bias")->to_vector<float>(), last.find("fc.bias")->to_vector<float>());
  EXPECT_EQ(best.find("optimizer.step"), nullptr);
  const std::string mean = "bn1.running_mean", count = "bn1.num_batches_tracked";
  EXPECT_EQ(best.find(mean)->to_vector<float>(), last.find("ema." + mean)->to_vector<float>());
  EXPECT_NE(best.find(mean)->to_vector<float>(), last.find(mean)->to_vector<float>());
  EXPECT_NE(best.find(mean)->to_vector<float>(), std::vector<float>(64, 0.0f)) << "as it was at first";
  EXPECT_EQ(best.find(count)->to_vector<int64_t>(), last.find(count)->to_vector<int64_t>());
}

// Another run may be in the folder that has taken its place.
TEST_F(TrainerTest, NothingIsWrittenIntoAFolderThatWasReplaced) {
  TrainingData data = load_training_data(options);
  RunFolder folder(dir / "run");
  folder.lock();
  Trainer trainer(options, data, {}, folder);
  std::filesystem::remove_all(folder.path());
  std::filesystem::create_directories(folder.path());
  EXPECT_THAT(message_of<Error>([&] { trainer.run(); }), HasSubstr("removed, moved or replaced"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_F(TrainerTest, StatisticsOfTheValidationImagesLeaveTheTrainingAlone) {
  options.sampler = "group";
  options.normalize = "unit";
  options.ema = 0.5;
  options.adabn = "none";
  const std::vector<EpochMetrics> plain = train("plain");
  options.adabn = "auto";
  const std::vector<EpochMetrics> adapted = train("adapted");
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(plain[i].train_loss, adapted[i].train_loss);
    EXPECT_NE(plain[i].val_loss, adapted[i].val_loss);
  }
  const SafetensorsFile last = read_safetensors(dir / "plain/last.safetensors");
  const SafetensorsFile other = read_safetensors(dir / "adapted/last.safetensors");
  for (const NamedTensor& saved : last.tensors) {
    const Tensor& x = saved.tensor;
    const Tensor* y = other.find(saved.name);
    ASSERT_NE(y, nullptr);
    EXPECT_EQ(std::memcmp(x.raw(), y->raw(), x.bytes()), 0) << saved.name;
  }
}

TEST(BatchnormStatistics, ArePassesMeansWhereTheMomentumSaysSo) {
  BatchnormAct layer("bn", {.channels = 2});
  const float values[3][3] = {{1, 2, 6}, {10, 20, 60}, {0, 0, 3}};
  double mean = 0.0, var = 0.0;
  for (int k = 0; k < 3; ++k) {
    const float* v = values[k];
    const double m = (v[0] + v[1] + v[2]) / 3.0;
    mean += m / 3;
    for (int i = 0; i < 3; ++i) var += (v[i] - m) * (v[i] - m) / 2 / 3;
    const Tensor x = Tensor::from(std::vector<float>{v[0], -v[0], v[1], -v[1], v[2], -v[2]}, {3, 2});
    layer(x, {.training = true, .statistics_momentum = 1.0f / static_cast<float>(k + 1)});
  }
  ModelState state;
  layer.collect(state);
  EXPECT_FLOAT_EQ(state.buffers[0].tensor->to_vector<float>()[0], static_cast<float>(mean));
  EXPECT_FLOAT_EQ(state.buffers[0].tensor->to_vector<float>()[1], static_cast<float>(-mean));
  EXPECT_FLOAT_EQ(state.buffers[1].tensor->to_vector<float>()[0], static_cast<float>(var));
  EXPECT_EQ(state.buffers[2].tensor->to_vector<int64_t>()[0], 0) << "they are not counted";
}

TEST_F(TrainerTest, OneSeedIsOneRun) {
  const double loss = train("a").back().train_loss;
  EXPECT_EQ(train("b").back().train_loss, loss);
  options.seed = 1;
  EXPECT_NE(train("c").back().train_loss, loss);
}

TEST_F(TrainerTest, WeightsOfAnotherRunAreAStart) {
  options.epochs = 1;
  train("first");
  options.init_weights = (dir / "first/best.safetensors").string();
  options.lr = 1e-9;
  options.weight_decay = 0.0;
  train("second");
  const auto before = read_safetensors(dir / "first/best.safetensors").find("fc.bias")->to_vector<float>();
  const auto after = read_safetensors(dir / "second/best.safetensors").find("fc.bias")->to_vector<float>();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(before[i], after[i], 1e-6);
}

TEST_F(TrainerTest, OptionsThatDoNotFitTheDataAreRefused) {
  options.batch = 1000;
  EXPECT_THAT(refusal(), HasSubstr("--batch 1000 is larger than the"));
  options.batch = 4;
  options.fusion = "colormap";
  EXPECT_THAT(refusal(), HasSubstr("--fusion colormap needs 6 channels"));
  options.fusion = "none";
  options.init_weights = (dir / "absent.safetensors").string();
  EXPECT_THAT(refusal(), HasSubstr("absent.safetensors: cannot read: No such file"));
}

TEST_F(TrainerTest, ADivergingRunStopsWithAWayOut) {
  options.lr = 1e9;
  options.schedule = "constant";
  options.epochs = 30;
  EXPECT_THAT(message_of<Error>([&] { train("run"); }), HasSubstr("lower --lr"));
  testing::internal::GetCapturedStdout();
}

TEST_F(TrainerTest, ResumingAnotherRunIsRefused) {
  train("run");
  TrainOptions other = options;
  other.model = "resnet18";
  TrainingData data = load_training_data(other);
  Trainer trainer(other, data, {}, RunFolder(dir / "run"));
  EXPECT_THAT(message_of<Error>([&] { trainer.resume(); }),
              AllOf(HasSubstr("last.safetensors"), HasSubstr("small"), HasSubstr("resnet18")));
}

TEST(ResolveStem, TheSmallStemIsForSmallImages) {
  TrainOptions options;
  EXPECT_EQ(resolve_stem(options, 32), "3x3");
  EXPECT_EQ(resolve_stem(options, 33), "7x7");
  options.stem = "3x3";
  EXPECT_EQ(resolve_stem(options, 64), "3x3");
  EXPECT_THAT(message_of<Error>([&] { resolve_stem(options, 65); }),
              HasSubstr("--stem 3x3 is for images of at most 64"));
}

TEST(RunFolderTest, MetricsSurviveTheirFile) {
  const EpochMetrics row{.epoch = 1, .train_loss = 0.123456, .val_accuracy = 0.5, .learning_rate = 1e-5};
  const std::string text = format_metrics({row});
  EXPECT_EQ(format_metrics(parse_metrics(text, "m")), text);
  EXPECT_THAT(message_of<Error>([&] { parse_metrics("epoch,train_loss\n1,a\n", "m"); }),
              HasSubstr("m:2: 'a' is not a number"));
}

}  // namespace
}  // namespace cytograd
