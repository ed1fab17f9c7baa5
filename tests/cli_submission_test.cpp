// predict --submission: the wells of Kaggle's test.csv, all of them that can be, and no other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/csv.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class CliSubmission : public ::testing::Test {
 protected:
  CliSubmission() {
    const std::string header = "id_code,experiment,plate,well";
    std::string train = header + ",sirna\n", test = header + "\n", controls = header + ",sirna,well_type\n";
    for (int i = 0; i < 8; ++i) {
      train += add_well("train", fmt::format("RPE-0{}", i % 4 + 1), fmt::format("C{:02}", i + 2)) +
               fmt::format(",sirna_{}\n", i % 2);
    }
    for (const char* well : {"D04", "D03", "D02"}) test += add_well("test", "RPE-09", well) + "\n";
    controls += add_well("test", "RPE-09", "B02") + ",sirna_9,positive_control\n";
    dir.write("data/train.csv", train);
    dir.write("data/test.csv", test);
    dir.write("data/test_controls.csv", controls);
    trained_run(dir / "data", dir / "run", {"--batch", "2"});
  }

  std::string add_well(const std::string& split, const std::string& experiment, const std::string& well) {
    const fs::path folder = dir / "data" / split / experiment / "Plate1";
    fs::create_directories(folder);
    for (int site = 1; site <= 2; ++site) {
      for (int c = 1; c <= 6; ++c)
        write_png(folder / fmt::format("{}_s{}_w{}.png", well, site, c), tiny_image({}, c));
    }
    return fmt::format("{0}_1_{1},{0},1,{1}", experiment, well);
  }

  CommandResult submit(const Words& more = {}) const {
    return run_command(Words{"predict", "--model", (dir / "run").string(), "--out", (dir / "p.csv").string(),
                             "--submission", (dir / "s.csv").string(), (dir / "data").string()} +
                       more);
  }

  /// The id_codes of the file, in its order.
  std::string wells() const {
    std::string ids, line;
    std::ifstream file(dir / "s.csv");
    for (std::getline(file, line); std::getline(file, line);) ids += line.substr(0, line.find(',')) + " ";
    return ids;
  }

  TempDir dir;
};

TEST_F(CliSubmission, OfAPackIsThatOfItsFolder) {
  expect_ok(submit());
  const std::string submission = read_file(dir / "s.csv"), predictions = read_file(dir / "p.csv");
  expect_ok(run_command({"pack", "--data", (dir / "data").string(), "--out", (dir / "pack").string()}));
  expect_ok(run_command({"predict", "--model", (dir / "run").string(), "--out", (dir / "p.csv").string(),
                         "--submission", (dir / "s.csv").string(), (dir / "pack").string()}));
  EXPECT_EQ(read_file(dir / "s.csv"), submission);
  EXPECT_EQ(read_file(dir / "p.csv"), predictions);
}

TEST_F(CliSubmission, HasTheWellsOfTestCsvAndNeitherControlsNorTrainingWells) {
  const CommandResult result = submit();
  expect_ok(result);
  EXPECT_EQ(wells(), "RPE-09_1_D04 RPE-09_1_D03 RPE-09_1_D02 ");
  EXPECT_THAT(read_file(dir / "p.csv"), HasSubstr("RPE-09_1_B02_s1,")) << "predictions are of all images";
  EXPECT_THAT(result.err, Not(HasSubstr("left out")));
}

TEST_F(CliSubmission, AWellHasTheClassOfHighestMeanOverItsSites) {
  const auto paint = [&](const std::string& plate, const std::string& well, int site, int level) {
    for (int c = 1; c <= 6; ++c)
      write_png(dir / "data" / plate / fmt::format("{}_s{}_w{}.png", well, site, c),
                {16, 16, 1, std::vector<uint8_t>(256, static_cast<uint8_t>(level))});
  };
  for (int i = 0; i < 8; ++i) {
    for (const int site : {1, 2})
      paint(fmt::format("train/RPE-0{}/Plate1", i % 4 + 1), fmt::format("C{:02}", i + 2), site,
            i % 2 == 0 ? 40 : 200);
  }
  std::string table = "id_code,experiment,plate,well\n";
  for (int i = 0; i < 12; ++i) {  // a dark site and one ever brighter
    const std::string well = fmt::format("E{:02}", i + 2);
    table += add_well("test", "RPE-09", well) + "\n";
    paint("test/RPE-09/Plate1", well, 1, 40);
    paint("test/RPE-09/Plate1", well, 2, 60 + 12 * i);
  }
  dir.write("data/test.csv", table);
  fs::remove_all(dir / "run");
  trained_run(dir / "data", dir / "run", {"--normalize", "unit", "--epochs", "8", "--lr", "0.02"});
  expect_ok(run_command({"predict", "--model", (dir / "run/last.safetensors").string(), "--out",
                         (dir / "p.csv").string(), "--submission", (dir / "s.csv").string(),
                         (dir / "data").string()}));
  std::map<std::string, std::map<std::string, double>> sums;
  std::map<std::string, std::string> of_last_site;
  for (const auto& row : read_csv(dir / "p.csv").rows) {
    const std::string well = row[0].substr(0, row[0].rfind("_s"));
    sums[well][row[1]] += std::stod(row[2]);
    sums[well][row[3]] += std::stod(row[4]);
    of_last_site[well] = row[1];
  }
  int otherwise = 0;
  for (const auto& row : read_csv(dir / "s.csv").rows) {
    const auto best = std::max_element(sums[row[0]].begin(), sums[row[0]].end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    EXPECT_EQ(row[1], best->first) << row[0];
    otherwise += best->first == of_last_site[row[0]] ? 0 : 1;
  }
  EXPECT_GT(otherwise, 0) << "no well shows that its sites are averaged";
}

TEST_F(CliSubmission, WellsWithoutAnImageAreLeftOutAndCounted) {
  const fs::path plate = dir / "data/test/RPE-09/Plate1";
  fs::remove(plate / "D03_s1_w2.png");  // its other site is left
  for (int site = 1; site <= 2; ++site) fs::remove(plate / fmt::format("D04_s{}_w1.png", site));
  const CommandResult result = submit({"--max-missing", "0.5"});
  expect_ok(result);
  EXPECT_EQ(wells(), "RPE-09_1_D03 RPE-09_1_D02 ");
  EXPECT_THAT(result.err, HasSubstr("submission: 1 of 3 wells of test.csv are left out"));
}

TEST_F(CliSubmission, WithoutAWellOfTestCsvItIsRefused) {
  expect_error(submit({"--where", "split=train"}), kFailed,
               {"none of the images is of a well of", "test.csv", "--where"});
  fs::remove(dir / "data/test.csv");
  expect_error(submit(), kFailed, {"--submission: there is no", "test.csv, which names the wells to submit"});
  write_tiny_data(dir / "plain", {.channels = 3});
  expect_error(run_command({"predict", "--model", (dir / "run").string(), "--out", (dir / "p.csv").string(),
                            "--submission", (dir / "s.csv").string(), (dir / "plain").string()}),
               kFailed, {"plain is not in the Kaggle layout"});
  EXPECT_FALSE(fs::exists(dir / "s.csv"));
  EXPECT_FALSE(fs::exists(dir / "p.csv"));
}

}  // namespace
}  // namespace cytograd::test
