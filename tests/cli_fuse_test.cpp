// cytograd fuse: every picture under a name of its own, a labels.csv that reads back, and no input overwritten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// Sites of six grey files each, a_w1.png to a_w6.png for the site "a", joined by ';' in a labels.csv.
void write_sites(const fs::path& folder, const Words& sites) {
  fs::create_directories(folder);
  std::ofstream table(folder / "labels.csv");
  table << "image,label\n";
  for (size_t i = 0; i < sites.size(); ++i) {
    for (int c = 1; c <= 6; ++c) {
      const std::string name = fmt::format("{}_w{}.png", sites[i], c);
      write_png(folder / name, tiny_image({}, static_cast<int>(i)));
      table << name << (c < 6 ? ";" : ",");
    }
    table << "c" << i % 2 << "\n";
  }
}

class CliFuse : public ::testing::Test {
 protected:
  CommandResult fuse(const fs::path& to, const Words& more = {}) const {
    return run_command(Words{"fuse", "--data", data.string(), "--out", to.string()} + more,
                       {.limit = std::chrono::seconds(30)});
  }

  TempDir dir;
  const fs::path data = dir / "data";
  const fs::path out = dir / "out";
};

TEST_F(CliFuse, FilesOfSeveralChannelsBecomeOnePictureThatReadsBack) {
  write_sites(data, {"a.v1", "a.v2", "b"});
  expect_ok(fuse(out));
  EXPECT_THAT(listing(out / "images"), ElementsAre("a.v1_w1.png", "a.v2_w1.png", "b_w1.png"));
  EXPECT_EQ(read_file(out / "labels.csv"), "image,label\na.v1_w1.png,c0\na.v2_w1.png,c1\nb_w1.png,c0\n");
  EXPECT_EQ(open_dataset(out).samples.size(), 3U);
}

// Of RxRx1's sites, which have no extension, none is cut at a dot of the experiment's name.
TEST_F(CliFuse, ADotInANameIsPartOfIt) {
  std::string table = "id_code,experiment,plate,well,sirna\n";
  for (const char* experiment : {"HUVEC.v1", "HUVEC.v2"}) {
    table += fmt::format("{0}_1_C03,{0},1,C03,sirna_1\n", experiment);
    fs::create_directories(data / "train" / experiment / "Plate1");
    for (int site = 1; site <= 2; ++site) {
      for (int c = 1; c <= 6; ++c)
        write_png(data / "train" / experiment / "Plate1" / fmt::format("C03_s{}_w{}.png", site, c),
                  tiny_image({}, c));
    }
  }
  dir.write("data/train.csv", table);
  expect_ok(fuse(out));
  EXPECT_THAT(listing(out / "images"), ElementsAre("HUVEC.v1_1_C03_s1.png", "HUVEC.v1_1_C03_s2.png",
                                                   "HUVEC.v2_1_C03_s1.png", "HUVEC.v2_1_C03_s2.png"));
}

TEST_F(CliFuse, TwoSamplesOfOneNameAreRefused) {
  write_sites(data, {"a", "b"});
  std::ofstream(data / "labels.csv", std::ios::app)
      << "a_w1.png;b_w2.png;b_w3.png;b_w4.png;b_w5.png;b_w6.png,c1\n";
  expect_error(fuse(out), kFailed, {"would both be written to a_w1.png", "rename one"});
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(CliFuse, AnOutputThatCannotBeWrittenIsOneErrorAndNoHang) {
  write_sites(data, {"a", "b", "c", "d", "e", "f", "g", "h"});
  for (const char* site : {"a", "b", "c", "d", "e", "f", "g", "h"})
    fs::create_directories(out / "images" / fmt::format("{}_w1.png", site));
  for (const char* workers : {"1", "4", "32"}) {
    const CommandResult result = fuse(out, {"--workers", workers});
    EXPECT_FALSE(result.timed_out) << workers;
    expect_error(result, kFailed, {"_w1.png: cannot write: is a directory"});
  }
}

TEST_F(CliFuse, MissingAndUnreadableImagesCountTogether) {
  write_sites(data, {"a", "b", "c", "d"});
  fs::remove(data / "a_w3.png");
  dir.write("data/b_w2.png", "text");
  expect_error(fuse(out, {"--max-missing", "0.3"}), kFailed,
               {"2 of 4 images are missing or unreadable, more than --max-missing 0.3 allows", "b_w2.png"});
  EXPECT_FALSE(fs::exists(out / "labels.csv"));
  expect_ok(fuse(out, {"--max-missing", "0.5"}));
  EXPECT_EQ(read_file(out / "labels.csv"), "image,label\nc_w1.png,c0\nd_w1.png,c1\n");
}

TEST_F(CliFuse, ADatasetIsNotWrittenInto) {
  write_sites(dir / "data/images", {"a", "b"});
  fs::rename(data / "images/labels.csv", data / "labels.csv");
  const std::string table = read_file(data / "labels.csv");
  fs::create_directory_symlink(data, dir / "link");
  for (const fs::path& inside : {data, data / "images", data / "new", dir / "link", dir / "link/new/.."})
    expect_error(fuse(inside), kFailed, {"lies in --data", "name a folder of its own"});
  const CommandResult around =
      run_command({"fuse", "--data", (data / "images").string(), "--out", data.string()});
  expect_error(around, kFailed, {"or around it"});
  expect_error(run_command({"fuse", "--data", data.string(), "--preview", (data / "labels.csv").string()}),
               kFailed, {"labels.csv: is an input"});
  EXPECT_EQ(read_file(data / "labels.csv"), table);
  EXPECT_THAT(listing(data), ElementsAre("images", "labels.csv"));
}

}  // namespace
}  // namespace cytograd::test
