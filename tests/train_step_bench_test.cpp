// What bench/train_step_bench promises to compare_train_step.py: lines of JSON whose figures belong together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/devices.h"

namespace cytograd::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

/// Runs it on tiny steps. It lies beside the cytograd binary.
CommandResult run_bench(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"--model", "small", "--size", "32", "--steps", "1", "--classes", "5"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto program = std::filesystem::path(CommandOptions{}.program).parent_path() / "train_step_bench";
  return run_command(words, {.limit = std::chrono::minutes(10), .program = program.string()});
}

std::vector<Json> lines_of(const CommandResult& result) {
  std::vector<Json> lines;
  std::istringstream out(result.out);
  for (std::string line; std::getline(out, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<std::string> names_of(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

TEST(TrainStepBench, MeasuresAStepAndItsPhases) {
  for (const Device device : devices()) {
    SCOPED_TRACE(device_name(device));
    const CommandResult result =
        run_bench({"--batch", "4", "--channels", "6", "--device", std::string(device_name(device))});
    ASSERT_EQ(result.code, 0) << result.err;
    const std::vector<Json> lines = lines_of(result);
    ASSERT_THAT(lines, SizeIs(1));
    const Json& line = lines[0];
    const double step = line["median_seconds"];
    EXPECT_GT(step, 0.0);
    EXPECT_NEAR(line["images_per_second"].get<double>(), 4 / step, 1e-6 / step);
    EXPECT_TRUE(line["last_loss"].is_number()) << "what a phase leaves to the next was overwritten";
    EXPECT_GT(line["train_images_per_second"].get<double>(), 0.0);
    EXPECT_GT(line["inference_images_per_second"].get<double>(), 0.0);
    EXPECT_GT(line["peak_mib"].get<double>() + line["peak_resident_mib"].get<double>(), 0.0);

    const Json& phases = line["phases"];
    EXPECT_THAT(names_of(phases), ElementsAre("load", "preprocess", "forward", "backward", "optimizer"));
    double sum = 0.0;
    for (const auto& [name, seconds] : phases.items()) {
      EXPECT_GT(seconds.get<double>(), 0.0) << name;
      sum += seconds.get<double>();
    }
    // Between the phases there is next to nothing, unless the machine takes the processor away there.
    const double phased = line["phased_step_seconds"];
    EXPECT_LE(sum, phased);
    EXPECT_GE(sum, 0.5 * phased);
  }
}

TEST(TrainStepBench, CountsTheOperationsOfConvolutionsAndLinearLayers) {
  const CommandResult result = run_bench({"--batch", "4", "--channels", "2", "--inputs", "synthetic"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json line = lines_of(result).at(0);
  EXPECT_THAT(names_of(line["phases"]), ElementsAre("forward", "backward", "optimizer"));
  EXPECT_FALSE(line.contains("train_images_per_second"));
  const double weights[] = {32 * 9 * 2, 64 * 9 * 32, 128 * 9 * 64, 256 * 9 * 128, 5 * 256};
  EXPECT_EQ(line["parameters"],
            std::accumulate(std::begin(weights), std::end(weights), 0.0) + 2 * (32 + 64 + 128 + 256) + 5);
  // Three taps for each of 16, 16, 8 and 4 results a side, less those beyond the image: one, or at stride 1 two.
  // Forward and the gradients by weight and input, which the first lacks.
  const double expected =
      2 * (2 * 47 * 47 / 9.0 * weights[0] + 3 * 46 * 46 / 9.0 * weights[1] + 3 * 23 * 23 / 9.0 * weights[2] +
           3 * 11 * 11 / 9.0 * weights[3] + 3 * weights[4]);
  EXPECT_NEAR(line["gflop_per_image"].get<double>() * 1e9, expected, 1.0);
  const double limit = line["matmul_gflops"], rate = line["images_per_second"];
  EXPECT_NEAR(line["share_of_limit"].get<double>(), expected / 1e9 * rate / limit, 1e-6);
}

TEST(TrainStepBench, MeasuresEveryCombinationAndSaysWhichItCannot) {
  const CommandResult result =
      run_bench({"--channels", "1", "--inputs", "synthetic", "--batch", "2,3", "--dtype", "bf16,f16"});
  EXPECT_EQ(result.code, 1);
  const std::vector<Json> lines = lines_of(result);
  ASSERT_THAT(lines, SizeIs(2)) << "a CPU has no f16";
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(lines[i]["batch"], 2 + i);
    EXPECT_EQ(lines[i]["dtype"], "bf16");
  }
  EXPECT_THAT(result.err, HasSubstr("small of 32 pixels, batch 2, f16 on cpu: "));
  EXPECT_THAT(result.err, HasSubstr("small of 32 pixels, batch 3, f16 on cpu: "));
}

}  // namespace
}  // namespace cytograd::test
