// `cytograd train --device cuda`: the CPU's losses, and runs that go on as if they had not stopped.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/backend.h"
#include "tests/support/same_run.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

namespace fs = std::filesystem;

class TrainCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
    write_tiny_data(dir / "data", {.images = 24, .channels = 3});
  }

  /// An emulated GPU under a sanitizer on a busy machine takes its time.
  void run_training(const std::string& run, const Words& options) {
    expect_ok(train(dir / "data", dir / run, options, {.limit = std::chrono::minutes(10)}));
  }

  std::vector<EpochMetrics> rows(const std::string& run, const Words& options) {
    run_training(run, options);
    return parse_metrics(read_file(RunFolder(dir / run).metrics()), run);
  }

  TempDir dir;
};

TEST_F(TrainCuda, ASmallResNetHasTheLossesOfTheCpu) {
  const Words options{"--model", "resnet18", "--epochs", "2",           "--lr",
                      "0.01",    "--dtype",  "f32",      "--clip-norm", "5"};
  const auto on_cpu = rows("cpu", options + Words{"--device", "cpu"});
  const auto on_cuda = rows("cuda", options + Words{"--device", "cuda", "--deterministic"});
  ASSERT_EQ(on_cuda.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(on_cuda[i].train_loss, on_cpu[i].train_loss, 1e-3) << i;
    EXPECT_NEAR(on_cuda[i].val_loss, on_cpu[i].val_loss, 5e-3) << i;
  }
}

// The sums that components come from are whole numbers: both devices have the same, and so the same components.
TEST_F(TrainCuda, FusionsHaveTheLossesOfTheCpu) {
  const Words options{"--epochs", "2", "--lr", "0.01", "--dtype", "f32", "--sampler", "group"};
  const fs::path colours =
      dir.write("colours.csv", "channel,colour,low,high\n1,#FF0000,0,200\n3,#00FF80,10,110\n");
  for (const Words& fusion :
       {Words{"--fusion", "pca", "--components", "2"}, Words{"--fusion", "learned", "--components", "2"},
        Words{"--fusion", "colormap", "--colormap", colours.string()}}) {
    SCOPED_TRACE(fusion[1]);
    const std::string cpu = "cpu_" + fusion[1], cuda = "cuda_" + fusion[1];
    const auto on_cpu = rows(cpu, options + fusion + Words{"--device", "cpu"});
    const auto on_cuda = rows(cuda, options + fusion + Words{"--device", "cuda", "--deterministic"});
    for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(on_cuda[i].train_loss, on_cpu[i].train_loss, 1e-3) << i;
    if (fusion[1] == "pca") {
      EXPECT_EQ(read_file(RunFolder(dir / cuda).pca()), read_file(RunFolder(dir / cpu).pca()));
    }
  }
}

// Steps replay a graph that reads and writes the running statistics where they were when it was captured.
TEST_F(TrainCuda, StatisticsOfTheValidationImagesLeaveTheTrainingAlone) {
  const Words options{"--device",        "cuda",      "--dtype", "f32",         "--epochs", "3",
                      "--deterministic", "--sampler", "group",   "--normalize", "unit"};
  const auto plain = rows("plain", options + Words{"--adabn", "none"});
  const auto adapted = rows("adapted", options);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(plain[i].train_loss, adapted[i].train_loss) << i;
  EXPECT_NE(plain[2].val_loss, adapted[2].val_loss);
  const SafetensorsFile last = read_safetensors(RunFolder(dir / "plain").last());
  const SafetensorsFile other = read_safetensors(RunFolder(dir / "adapted").last());
  for (const NamedTensor& saved : last.tensors)
    EXPECT_EQ(std::memcmp(saved.tensor.raw(), other.find(saved.name)->raw(), saved.tensor.bytes()), 0)
        << saved.name;
}

TEST_F(TrainCuda, AResumedRunInF16KeepsItsLossScaleAndItsBits) {
  const Words options{"--device",   "cuda",     "--dtype", "f16", "--deterministic", "--optimizer", "adamw",
                      "--schedule", "constant", "--ema",   "0.9", "--dropout",       "0.2"};
  run_training("whole", options + Words{"--epochs", "3"});
  run_training("halved", options + Words{"--epochs", "1"});
  run_training("halved", options + Words{"--resume", "--epochs", "3"});
  expect_same_tensors(RunFolder(dir / "whole").last(), RunFolder(dir / "halved").last());
  const SafetensorsFile last = read_safetensors(RunFolder(dir / "whole").last());
  ASSERT_NE(last.find("optimizer.loss_scale"), nullptr);
  const float scale = last.find("optimizer.loss_scale")->item();
  const auto count = [&](const char* name) { return last.find(name)->to_vector<int64_t>().front(); };
  const int64_t skipped = count("optimizer.attempts") - count("optimizer.step");
  EXPECT_EQ(scale, std::ldexp(65536.0f, -static_cast<int>(skipped)));
}

// Runs whose second epoch begins with a loss scale of our own, or with a weight that is beyond f16.
TEST_F(TrainCuda, StepsThatOverflowInF16AreSkippedAndTooManyEndTheRun) {
  const Words options{"--device", "cuda", "--dtype", "f16", "--deterministic"};
  const auto begin = [&](const std::string& run, const std::string& name, float value) {
    run_training(run, options);
    SafetensorsFile last = read_safetensors(RunFolder(dir / run).last());
    for (NamedTensor& saved : last.tensors) {
      if (saved.name == name) backend(Device::cpu).fill(saved.tensor, value);
      if (saved.name == "optimizer.loss_scale" && name == "fc.bias")
        backend(Device::cpu).fill(saved.tensor, 0x1p-13f);
    }
    write_safetensors(RunFolder(dir / run).last(), last.tensors, last.metadata);
  };
  const auto resumed = [&](const std::string& epochs) {
    return options + Words{"--resume", "--epochs", epochs};
  };
  std::vector<std::vector<EpochMetrics>> runs;
  for (const float scale : {1024.0f, 0x1p21f}) {
    const std::string run = fmt::format("{}", scale);
    begin(run, "optimizer.loss_scale", scale);
    run_training(run, resumed("2"));
    const SafetensorsFile last = read_safetensors(RunFolder(dir / run).last());
    const auto count = [&](const char* name) { return last.find(name)->to_vector<int64_t>().front(); };
    const int64_t skipped = count("optimizer.attempts") - count("optimizer.step");
    EXPECT_EQ(skipped > 0, scale > 1024.0f);
    EXPECT_EQ(last.find("optimizer.loss_scale")->item(), std::ldexp(scale, -static_cast<int>(skipped)));
    runs.push_back(rows(run, resumed("3")));
  }
  EXPECT_EQ(runs[0][2].learning_rate, runs[1][2].learning_rate) << "by the steps that were begun";
  begin("none", "optimizer.loss_scale", 0x1p60f);
  expect_error(train(dir / "data", dir / "none", resumed("2")), kFailed,
               {"no step of epoch 2 had finite gradients in f16"});
  begin("spoilt", "fc.bias", 1e30f);
  expect_error(train(dir / "data", dir / "spoilt", resumed("2")), kFailed, {"training diverged at step"});
}

TEST_F(TrainCuda, WithoutALossScaleAnOverflowEndsTheRun) {
  run_training("bf16", {"--device", "cuda", "--dtype", "bf16"});
  EXPECT_EQ(read_safetensors(RunFolder(dir / "bf16").last()).find("optimizer.loss_scale"), nullptr);
  expect_error(train(dir / "data", dir / "f32", {"--device", "cuda", "--lr", "1e9", "--epochs", "9"}),
               kFailed, {"training diverged at step"});
}

}  // namespace
}  // namespace cytograd::test
