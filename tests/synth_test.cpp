// The simulator's files: layout, table, design of the plates, determinism, refusals.
#include "data/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "engine/check.h"
#include "engine/folder_lock.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class SynthFiles : public testing::Test {
 protected:
  const test::TempDir dir_;
  const fs::path& root_ = dir_.path();
};

SynthOptions small_options() {
  return {.experiments = 2, .plates = 2, .wells = 5, .classes = 3, .size = 32, .sites = 2, .seed = 7};
}

std::vector<std::vector<std::string>> read_table(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

std::map<std::string, std::string> all_files(const fs::path& root) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), root).string()] = read_file(entry.path());
  return files;
}

TEST_F(SynthFiles, WritesSixPicturesASiteAndNothingButTheTable) {
  const SynthReport report = synthesize(root_ / "out", small_options());
  EXPECT_EQ(report.sites, 2 * 2 * 5 * 2);
  EXPECT_EQ(report.wells, 2 * 2 * 5);
  EXPECT_EQ(report.images, 6 * report.sites);
  const auto files = all_files(root_ / "out");
  EXPECT_EQ(files.size(), static_cast<size_t>(report.images) + 1);
  EXPECT_TRUE(files.contains("metadata.csv"));
  EXPECT_TRUE(files.contains("images/HUVEC-01/Plate1/B02_s1_w1.png"));
  EXPECT_TRUE(files.contains("images/HUVEC-02/Plate2/B06_s2_w6.png"));
}

TEST_F(SynthFiles, TableIsThatOfTheRelease) {
  synthesize(root_ / "out", small_options());
  const auto rows = read_table(root_ / "out" / "metadata.csv");
  ASSERT_EQ(rows.size(), 1u + 40u);
  EXPECT_THAT(rows[0], ElementsAre("site_id", "well_id", "cell_type", "dataset", "experiment", "plate",
                                   "well", "site", "well_type", "sirna", "sirna_id"));
  EXPECT_THAT(rows[1], ElementsAre("HUVEC-01_1_B02_1", "HUVEC-01_1_B02", "HUVEC", "train", "HUVEC-01", "1",
                                   "B02", "1", "negative_control", "EMPTY", "1138"));
  for (size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), 11u);
    const bool control = rows[i][6] == "B02";
    EXPECT_EQ(rows[i][8], control ? "negative_control" : "treatment");
    EXPECT_EQ(rows[i][9], control ? "EMPTY" : "sirna_" + rows[i][10]);
    EXPECT_EQ(rows[i][3], rows[i][4] == "HUVEC-02" ? "test" : "train");
  }
}

TEST_F(SynthFiles, PicturesAreThoseOfRenderSite) {
  synthesize(root_ / "out", small_options());
  const Image site = render_site(small_options(), {.experiment = 1, .plate = 0, .well = 3, .site = 1});
  for (int c = 0; c < 6; ++c) {
    const Image plane =
        read_image(root_ / "out" / fmt::format("images/HUVEC-02/Plate1/B05_s2_w{}.png", c + 1));
    ASSERT_EQ(plane.channels, 1);
    ASSERT_EQ(plane.height, 32);
    for (size_t i = 0; i < plane.pixels.size(); ++i) ASSERT_EQ(plane.pixels[i], site.pixels[6 * i + c]);
  }
}

TEST_F(SynthFiles, SameSeedSameBytesWhateverTheThreads) {
  SynthOptions options = small_options();
  options.threads = 1;
  synthesize(root_ / "one", options);
  options.threads = 5;
  synthesize(root_ / "five", options);
  EXPECT_EQ(all_files(root_ / "one"), all_files(root_ / "five"));
  options.seed = 8;
  synthesize(root_ / "other", options);
  EXPECT_NE(all_files(root_ / "one"), all_files(root_ / "other"));
}

TEST_F(SynthFiles, ProgressCountsEverySite) {
  int64_t calls = 0, last = 0;
  synthesize(root_ / "out", small_options(), [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 40);
    EXPECT_EQ(done, last + 1);
    last = done;
    ++calls;
  });
  EXPECT_EQ(calls, 40);
}

TEST_F(SynthFiles, TheSecondProcessStops) {
  const FolderLock other(root_, "making a dataset in this folder");
  EXPECT_THAT([&] { synthesize(root_, small_options()); },
              ThrowsMessage<Error>(HasSubstr("another process is making a dataset in this folder")));
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(SynthFiles, KeepsItsHandsOffAFolderInUse) {
  std::ofstream(root_ / "notes.txt") << "mine";
  EXPECT_THAT([&] { synthesize(root_, small_options()); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr(root_.string()), HasSubstr("not empty"))));
  EXPECT_THAT([&] { synthesize(root_ / "notes.txt", small_options()); },
              ThrowsMessage<Error>(HasSubstr("notes.txt is not a folder")));
  EXPECT_EQ(read_file(root_ / "notes.txt"), "mine");
  EXPECT_FALSE(fs::exists(root_ / "images"));
}

TEST_F(SynthFiles, AFailedRunLeavesNoTable) {
  const auto stop = [](int64_t done, int64_t) {
    if (done == 3) fail("stop here");
  };
  EXPECT_THAT([&] { synthesize(root_ / "out", small_options(), stop); },
              ThrowsMessage<Error>(HasSubstr("stop here")));
  EXPECT_FALSE(fs::exists(root_ / "out" / "metadata.csv"));
}

TEST(Synth, EveryPlateHoldsEveryClassAtPlacesOfItsOwn) {
  const SynthOptions options = {.experiments = 5, .plates = 2, .wells = 24, .classes = 8};
  std::set<std::vector<int>> plates;
  for (int experiment = 0; experiment < options.experiments; ++experiment)
    for (int plate = 0; plate < options.plates; ++plate) {
      std::vector<int> labels, counts(options.classes);
      EXPECT_EQ(describe_site(options, {experiment, plate, 0, 0}).sirna_id, 1138);
      for (int well = 1; well < options.wells; ++well) {
        labels.push_back(describe_site(options, {experiment, plate, well, 0}).sirna_id);
        ++counts.at(labels.back());
      }
      // 23 treated wells for 8 classes: 2 or 3 each
      EXPECT_EQ(std::ranges::min(counts), 2);
      EXPECT_EQ(std::ranges::max(counts), 3);
      plates.insert(labels);
    }
  EXPECT_EQ(plates.size(), 10u);
}

TEST(Synth, ClassesThatOutnumberThePlateAreSharedAmongPlates) {
  const SynthOptions options = {.experiments = 1, .plates = 4, .wells = 4, .classes = 12};
  std::set<int> seen;
  for (int plate = 0; plate < 4; ++plate)
    for (int well = 1; well < 4; ++well) seen.insert(describe_site(options, {0, plate, well, 0}).sirna_id);
  EXPECT_EQ(seen.size(), 12u);
}

TEST(Synth, TestExperimentsShowCellTypesThatWereTrainedOn) {
  for (int experiments = 2; experiments <= 12; ++experiments) {
    const SynthOptions options = {.experiments = experiments};
    std::set<std::string> trained, names;
    int tests = 0;
    for (int e = 0; e < experiments; ++e) {
      const SynthSite site = describe_site(options, {.experiment = e});
      names.insert(site.experiment);
      if (site.dataset == "train") trained.insert(site.cell_type);
      if (site.dataset != "test") continue;
      ++tests;
      EXPECT_TRUE(trained.contains(site.cell_type)) << site.experiment;
    }
    EXPECT_EQ(names.size(), static_cast<size_t>(experiments));
    EXPECT_GE(tests, 1);
    EXPECT_LE(tests, experiments / 2);
  }
  EXPECT_EQ(describe_site({.experiments = 1}, {}).dataset, "train");
}

TEST(Synth, WellsAreTheInnerOnesOfA384WellPlate) {
  const SynthOptions options = {.wells = 308};
  EXPECT_EQ(describe_site(options, {.well = 0}).well, "B02");
  EXPECT_EQ(describe_site(options, {.well = 21}).well, "B23");
  EXPECT_EQ(describe_site(options, {.well = 22}).well, "C02");
  EXPECT_EQ(describe_site(options, {.well = 307}).well, "O23");
}

TEST(Synth, BadOptionsAreNamed) {
  const auto error = [](SynthOptions options) {
    try {
      describe_site(options, {});
      return std::string("accepted");
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_THAT(error({.experiments = 0}), HasSubstr("experiments is 0"));
  EXPECT_THAT(error({.plates = 100}), HasSubstr("plates is 100"));
  EXPECT_THAT(error({.wells = 1}), HasSubstr("wells is 1; it must be 2 to 308"));
  EXPECT_THAT(error({.wells = 309}), HasSubstr("wells is 309"));
  EXPECT_THAT(error({.classes = 1}), HasSubstr("classes is 1"));
  EXPECT_THAT(error({.size = 31}), HasSubstr("size is 31; it must be 32 to 2048"));
  EXPECT_THAT(error({.size = 2049}), HasSubstr("size is 2049"));
  EXPECT_THAT(error({.sites = -1}), HasSubstr("sites is -1"));
  EXPECT_THAT(error({.threads = -2}), HasSubstr("threads is -2"));
  EXPECT_THAT(error({.plates = 1, .wells = 5, .classes = 8}),
              HasSubstr("8 classes do not fit the 4 treated"));
}

TEST(Synth, APlaceOutsideTheDesignIsACallersMistake) {
  EXPECT_THROW(describe_site({}, {.experiment = 4}), CheckError);
  EXPECT_THROW(render_site({}, {.well = 24}), CheckError);
}

}  // namespace
}  // namespace cytograd
