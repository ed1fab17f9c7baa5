#include "tools/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "engine/safetensors.h"
#include "models/weights.h"
#include "tests/support/tiny_data.h"
#include "tests/support/values.h"
#include "tools/trained_run.h"

namespace cytograd {
namespace {

using test::message_of;
using test::TempDir;
using ::testing::ElementsAre;
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
      Trainer(options, data, make_fusion_tables(options, *data.images, data.train, Device::cpu),
              RunFolder(dir / "run"));
    });
  }

  /// A run that begins as a network whose answer is c0, whatever it sees, and that learns nothing: 17 images of c0 are
  /// trained on, one of c0 and two of c1 validated.
  void answer_the_first_class() {
    options.data = test::write_tiny_data(dir / "uneven", {.images = 20}).string();
    std::string rows = "image,label,group\n";
    for (int i = 0; i < 20; ++i)
      rows += fmt::format("i{}.png,{},{}\n", i, i < 18 ? "c0" : "c1", i < 17 ? "g0" : "g1");
    dir.write("uneven/labels.csv", rows);
    options.val_group = {"g1"};
    const auto model = make_model({.name = "small", .channels = 1, .classes = 2});
    for (const Parameter& p : model->state().parameters) {
      Tensor& value = p.variable->mutable_value();
      if (p.name == "fc.weight") value.copy_from(Tensor::zeros(value.shape()));
      if (p.name == "fc.bias") value.copy_from(Tensor::from(std::vector<float>{1.0f, 0.0f}, {2}));
    }
    write_safetensors(dir / "constant.safetensors", export_weights(*model));
    options.init_weights = (dir / "constant.safetensors").string();
    options.lr = 1e-300;  // none in f32
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

TEST_F(TrainerTest, OfEquallyGoodEpochsTheFirstIsTheBest) {
  answer_the_first_class();
  train("run");
  EXPECT_EQ(progress.best_epoch, 1);
  EXPECT_EQ(read_safetensors(dir / "run/best.safetensors").metadata.at("cytograd.epoch"), "1");
}

TEST_F(TrainerTest, WhereTheBestWeightsAreLostAnEquallyGoodEpochIsNoBetter) {
  answer_the_first_class();
  train("run");
  std::filesystem::remove(dir / "run/best.safetensors");
  options.epochs = 4;
  TrainingData data = load_training_data(options);
  Trainer trainer(options, data, {}, RunFolder(dir / "run"));
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  trainer.resume();
  trainer.run();
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(trainer.progress().best_epoch, 3);
}

TEST_F(TrainerTest, AccuraciesAreOfTheImagesThatWereSeen) {
  answer_the_first_class();
  options.epochs = 1;
  const EpochMetrics row = train("run").front();
  EXPECT_EQ(row.train_accuracy, 1.0) << "of 16 images, in fours: a batch of the last one is none";
  EXPECT_NEAR(row.val_accuracy, 1.0 / 3.0, 1e-12);
  EXPECT_NEAR(row.val_macro_accuracy, 0.5, 1e-12);
}

TEST_F(TrainerTest, ImagesThatTurnOutUnreadableMakeNoBatchOfOneAndNoEpochOfNone) {
  options.batch = 2;
  options.epochs = 1;
  options.cache_gib = 0.0;
  options.max_missing = 1.0;
  TrainingData data = load_training_data(options);
  ASSERT_EQ(data.train.size(), 18U);
  const auto spoil = [&](int64_t sample) { dir.write(fmt::format("data/i{}.png", sample), "no image"); };
  const auto run = [&] {
    Trainer trainer(options, data, {}, RunFolder(dir / "run"));
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const std::string error = message_of<Error>([&] { trainer.run(); });
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    return error;
  };
  std::filesystem::create_directories(dir / "run");
  spoil(data.train.front());
  EXPECT_EQ(run(), "");
  const SafetensorsFile last = read_safetensors(dir / "run/last.safetensors");
  EXPECT_THAT(last.find("optimizer.step")->to_vector<int64_t>(), ElementsAre(8)) << "of nine";
  for (const int64_t sample : data.train) spoil(sample);
  EXPECT_EQ(run(), "no batch of epoch 1 had two images that can be read, without which it has no statistics");
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
  options.lr = 0.0;
  options.epochs = 1;
  for (const auto& [optimizer, rate] : {std::pair{"sgd", 0.1}, {"adamw", 0.001}}) {
    options.optimizer = optimizer;
    EXPECT_NEAR(train(optimizer).front().learning_rate, rate, 1e-8) << optimizer;
  }
}

TEST_F(TrainerTest, TheScheduleIsLaidOutOverTheStepsOfAllEpochs) {
  options.lr = 0.05;
  options.warmup = 1.0;
  for (const char* name : {"one_cycle", "cosine"}) {
    options.schedule = name;
    const std::vector<EpochMetrics> rows = train(name);
    const ScheduleOptions schedule{
        .kind = parse_schedule(name), .peak = 0.05, .steps = 3 * 5, .warmup_steps = 5};  // 18 images in fours
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_NEAR(rows[static_cast<size_t>(i)].learning_rate, learning_rate(schedule, 5 * i + 4), 1e-8);
  }
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
  EXPECT_NE(best.find(mean)->to_vector<float>(), std::vector<float>(32, 0.0f)) << "as it was at first";
  for (const SafetensorsFile* file : {&best, &last})
    EXPECT_THAT(file->find(count)->to_vector<int64_t>(), ElementsAre(5)) << "18 images in fours";
}

TEST_F(TrainerTest, AveragesLeaveTheTrainingAsItIs) {
  const std::vector<EpochMetrics> plain = train("plain");
  options.ema = 0.5;
  const std::vector<EpochMetrics> averaged = train("averaged");
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(plain[i].train_loss, averaged[i].train_loss);
  const SafetensorsFile last = read_safetensors(dir / "plain/last.safetensors");
  const SafetensorsFile other = read_safetensors(dir / "averaged/last.safetensors");
  for (const NamedTensor& saved : last.tensors) {
    const Tensor& x = saved.tensor;
    EXPECT_EQ(std::memcmp(x.raw(), other.find(saved.name)->raw(), x.bytes()), 0) << saved.name;
  }
}

TEST_F(TrainerTest, AveragesFollowTheWeightsStepByStep) {
  options.schedule = "constant";
  options.warmup = 0.0;
  options.batch = 18;  // all of the training images: one step an epoch
  options.ema = 0.9;
  const auto biases = [&](int64_t epochs, const std::string& name) {
    options.epochs = epochs;
    train("run");
    return read_safetensors(dir / "run/last.safetensors").find(name)->to_vector<float>();
  };
  options.lr = 1e-12;
  std::vector<float> average = biases(1, "fc.bias");  // as they are at first
  options.lr = 0.1;
  for (const int64_t step : {1, 2, 3}) {
    const std::vector<float> weights = biases(step, "fc.bias"), averages = biases(step, "ema.fc.bias");
    const float decay = (1.0f + static_cast<float>(step)) / (10.0f + static_cast<float>(step));
    for (size_t i = 0; i < average.size(); ++i) {
      average[i] = decay * average[i] + (1.0f - decay) * weights[i];
      EXPECT_NEAR(averages[i], average[i], 1e-6) << step;
    }
  }
}

// A batch norm's statistics, and so the loss, depend on which images make up a batch, and on how they are turned.
TEST_F(TrainerTest, EachEpochHasAnOrderAndChangesOfItsOwn) {
  options.lr = 1e-12;
  options.weight_decay = 0.0;
  options.mirror = options.quarter_turns = false;
  const std::vector<EpochMetrics> ordered = train("ordered");
  EXPECT_GT(std::abs(ordered[0].train_loss - ordered[1].train_loss), 1e-5);
  options.batch = 18;  // all of the training images, in whatever order
  const std::vector<EpochMetrics> whole = train("whole");
  EXPECT_NEAR(whole[0].train_loss, whole[1].train_loss, 1e-5);
  options.quarter_turns = true;
  const std::vector<EpochMetrics> turned = train("turned");
  EXPECT_GT(std::abs(turned[0].train_loss - turned[1].train_loss), 1e-5);
}

TEST_F(TrainerTest, TheTrainingLossIsTheMeanOverImagesWhateverTheirBatches) {
  const auto model = make_model({.name = "small", .channels = 1, .classes = 2});
  for (const Parameter& p : model->state().parameters) {
    if (p.name.starts_with("fc.")) p.variable->mutable_value().copy_from(Tensor::zeros(p.variable->shape()));
  }
  write_safetensors(dir / "even.safetensors", export_weights(*model));  // both classes are as likely
  options.init_weights = (dir / "even.safetensors").string();
  options.lr = 1e-12;
  options.batch = 4;  // of 18 images, so that the last batch has two
  EXPECT_NEAR(train("run").front().train_loss, std::log(2.0), 1e-5);
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

// What an option is for is tested where that is; here, that none is lost on its way there.
TEST_F(TrainerTest, EveryOptionOfTheTrainingChangesTheRun) {
  options.data = test::write_tiny_data(dir / "uneven", {.images = 23}).string();
  options.epochs = 1;
  const TrainOptions plain = options;
  std::map<std::vector<float>, std::string> runs;  // by the weights that they end with
  const auto expect_another = [&](const std::string& name, const auto& change) {
    options = plain;
    change(options);
    train(name);
    const SafetensorsFile last = read_safetensors(dir / name / "last.safetensors");
    const auto [same, is_new] = runs.emplace(last.find("fc.weight")->to_vector<float>(), name);
    EXPECT_TRUE(is_new) << name << " is as " << same->second;
  };
  expect_another("plain", [](TrainOptions&) {});
  expect_another("mirror", [](TrainOptions& o) { o.mirror = false; });
  expect_another("quarter-turns", [](TrainOptions& o) { o.quarter_turns = false; });
  expect_another("brightness", [](TrainOptions& o) { o.brightness = 0.5; });
  expect_another("normalize", [](TrainOptions& o) { o.normalize = "unit"; });
  expect_another("shrink", [](TrainOptions& o) { o.shrink = 2; });
  expect_another("crop", [](TrainOptions& o) { o.crop = 12; });
  expect_another("dropout", [](TrainOptions& o) { o.dropout = 0.5; });
  expect_another("batch", [](TrainOptions& o) { o.batch = 5; });
  expect_another("sampler", [](TrainOptions& o) { o.sampler = "group"; });
  expect_another("optimizer", [](TrainOptions& o) { o.optimizer = "adamw"; });
  expect_another("lr", [](TrainOptions& o) { o.lr = 0.03; });
  expect_another("momentum", [](TrainOptions& o) { o.momentum = 0.5; });
  expect_another("nesterov", [](TrainOptions& o) { o.nesterov = true; });
  expect_another("weight-decay", [](TrainOptions& o) { o.weight_decay = 0.5; });
  expect_another("schedule", [](TrainOptions& o) { o.schedule = "constant"; });
  expect_another("warmup", [](TrainOptions& o) { o.schedule = "constant", o.warmup = 0.0; });
  expect_another("label-smoothing", [](TrainOptions& o) { o.label_smoothing = 0.0; });
  expect_another("class-weights", [](TrainOptions& o) { o.class_weights = "balanced"; });
  expect_another("clip-norm", [](TrainOptions& o) { o.clip_norm = 0.01; });
  expect_another("seed", [](TrainOptions& o) { o.seed = 1; });
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

TEST(LoaderOptionsOfARun, AreItsSettings) {
  TrainOptions options;
  options.batch = 7;
  options.crop = 9;
  options.shrink = 2;
  options.workers = 3;
  options.seed = 11;
  const LoaderOptions loader = evaluation_loader_options(options, Device::cpu);
  EXPECT_EQ(loader.batch, 7);
  EXPECT_EQ(loader.crop, 9);
  EXPECT_EQ(loader.shrink, 2);
  EXPECT_EQ(loader.workers, 3);
  EXPECT_EQ(loader.seed, 11U);
  EXPECT_FALSE(loader.shuffle);
  EXPECT_FALSE(loader.augmentation);
}

TEST(ModelOptionsOfARun, AreItsSettings) {
  TrainOptions options;
  options.model = "resnet34";
  options.stem = "3x3";
  options.zero_init_last = true;
  options.dropout = 0.25;
  options.fusion = "learned";
  options.components = 4;
  options.seed = 9;
  const ModelOptions model = model_options(options, {}, 6, 5);
  EXPECT_EQ(model.name, "resnet34");
  EXPECT_EQ(model.channels, 6);
  EXPECT_EQ(model.classes, 5);
  EXPECT_EQ(model.learned_fusion, 4);
  EXPECT_EQ(model.stem, Stem::conv3x3);
  EXPECT_TRUE(model.zero_init_last);
  EXPECT_EQ(model.dropout, 0.25f);
  EXPECT_EQ(model.seed, 9U);
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

TEST(PreprocessOptionsOfARun, ComponentsAreOfTheImagesChannels) {
  FusionTables fusion;
  Pca& pca = fusion.pca.emplace().pca;
  pca.mean = {1, 2, 3};
  pca.components = {{1, 0, 0}};
  EXPECT_EQ(message_of<Error>([&] { preprocess_options({}, fusion, 3, Device::cpu); }), "");
  EXPECT_THAT(message_of<Error>([&] { preprocess_options({}, fusion, 4, Device::cpu); }),
              HasSubstr("the principal components are of 3 channels, the images have 4"));
}

TEST(Fingerprint, TellsWhereATextEnds) {
  EXPECT_EQ(fingerprint({"ab", "c"}), fingerprint({"ab", "c"}));
  EXPECT_NE(fingerprint({"ab", "c"}), fingerprint({"a", "bc"}));
  EXPECT_NE(fingerprint({"a", ""}), fingerprint({"a"}));
}

TEST(RunFolderTest, MetricsSurviveTheirFile) {
  const EpochMetrics row{
      .epoch = 1, .train_loss = 0.123456, .val_accuracy = 1.0 / 3.0, .learning_rate = 1e-5};
  const std::string text = format_metrics({row});
  EXPECT_EQ(format_metrics(parse_metrics(text, "m")), text);
  const EpochMetrics read = parse_metrics(text, "m").front();
  EXPECT_EQ(read.epoch, 1);
  EXPECT_EQ(read.train_loss, row.train_loss);
  EXPECT_NEAR(read.val_accuracy, row.val_accuracy, 1e-6);
  EXPECT_EQ(read.learning_rate, row.learning_rate);
  EXPECT_EQ(parse_metrics(format_metrics({row}, 17), "m").front().val_accuracy, row.val_accuracy);
  EXPECT_THAT(message_of<Error>([&] { parse_metrics("epoch,train_loss\n1,a\n", "m"); }),
              HasSubstr("m:2: 'a' is not a number"));
  EXPECT_THAT(message_of<Error>([&] { parse_metrics("epoch,train_loss\n1,0.5x\n", "m"); }),
              HasSubstr("m:2: '0.5x' is not a number"));
}

}  // namespace
}  // namespace cytograd
