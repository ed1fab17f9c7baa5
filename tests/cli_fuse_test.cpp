// cytograd fuse: every picture under a name of its own, a labels.csv that reads back, and no input overwritten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <regex>

#include "data/colormap.h"
#include "data/dataset.h"
#include "data/pca_file.h"
#include "data/stored_image.h"
#include "tests/support/hostile_pack.h"
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
  expect_ok(fuse(out));
  for (const char* site : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
    fs::remove(out / "images" / fmt::format("{}_w1.png", site));
    fs::create_directory(out / "images" / fmt::format("{}_w1.png", site));
  }
  for (const char* workers : {"1", "4", "32"}) {
    const CommandResult result = fuse(out, {"--workers", workers});
    EXPECT_FALSE(result.timed_out) << workers;
    expect_error(result, kFailed, {"_w1.png: cannot write: is a directory"});
  }
  const fs::path begun = dir / "begun";
  expect_ok(fuse(begun));
  fs::remove_all(begun / "images");
  dir.write("begun/images", "a file");
  expect_error(fuse(begun), kFailed, {"begun/images: Not a directory"});
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

TEST_F(CliFuse, WhatIsMissingIsListed) {
  write_sites(data, {"a", "b", "c", "d"});
  fs::remove(data / "a_w3.png");
  dir.write("data/b_w2.png", "text");
  expect_ok(fuse(out, {"--max-missing", "0.5"}));
  const std::string missing = read_file(out / "missing.csv");
  EXPECT_THAT(missing, HasSubstr("a_w1.png;a_w2.png;a_w3.png"));
  EXPECT_THAT(missing, HasSubstr("a_w3.png,no such file"));
  EXPECT_THAT(missing, HasSubstr("b_w2.png: is not a PNG"));
}

/// The pictures and tables in a folder, by name.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder)] = read_file(entry.path());
  }
  return files;
}

TEST_F(CliFuse, StoppedItGoesOnWithWhatIsNotThere) {
  for (const Words& method : {Words{"--method", "colormap"}, Words{"--method", "pca"},
                              Words{"--method", "pca", "--pca-scope", "image"}}) {
    SCOPED_TRACE(method.back());
    write_sites(data, {"a", "b", "c", "d", "e"});
    expect_ok(fuse(out, method));
    const auto whole = contents(out);
    fs::remove(out / "labels.csv");
    fs::remove(out / "images/b_w1.png");
    fs::resize_file(out / "images/d_w1.png", 100);  // as a machine that went down may leave it
    dir.write("out/labels.csv.tmp.123", "half");
    const CommandResult again = fuse(out, method);
    expect_ok(again);
    EXPECT_THAT(again.out, HasSubstr("5 RGB images and labels.csv, 3 of them from before"));
    EXPECT_EQ(contents(out), whole);
    fs::remove_all(out);
    fs::remove_all(data);
  }
}

TEST_F(CliFuse, PicturesOfOtherImagesByTheSameNamesAreNotMixed) {
  for (const Words& method : {Words{"--method", "colormap"}, Words{"--method", "pca", "--pca-scope", "image"},
                              Words{"--method", "pca", "--pca-scope", "dataset"}}) {
    write_sites(data, {"a", "b", "c"});
    expect_ok(fuse(out, method));
    expect_ok(fuse(out, method));
    for (const char* channel : {"a_w2.png", "c_w6.png"}) {
      const std::string own = read_file(data / channel);
      write_png(data / channel, tiny_image({}, 99));
      expect_error(fuse(out, method), kFailed, {"is not what", "gives now", "name another --out"});
      dir.write(data / channel, "text");
      const CommandResult broken = fuse(out, method + Words{"--max-missing", "1"});
      expect_ok(broken);
      dir.write(data / channel, own);
    }
    fs::remove_all(out);
  }
}

TEST_F(CliFuse, KilledAtAnyMomentItGoesOn) {
  write_tiny_data(data, {.images = 40, .side = 128, .channels = 3});
  const Words pca{"--method", "pca", "--pca-scope", "group", "--workers", "1"};
  expect_ok(fuse(dir / "whole", pca));
  int kills = 0;
  for (int milliseconds = 20; milliseconds < 3000; milliseconds = milliseconds * 3 / 2) {
    const CommandResult killed =
        run_command(Words{"fuse", "--data", data.string(), "--out", out.string()} + pca,
                    {.kill_after = std::chrono::milliseconds(milliseconds), .kill_signal = SIGKILL});
    if (killed.signal == SIGKILL) ++kills;
    if (killed.code == 0) break;
  }
  EXPECT_GT(kills, 0);
  expect_ok(fuse(out, pca));
  EXPECT_EQ(contents(out), contents(dir / "whole"));
}

TEST_F(CliFuse, PicturesOfOtherSettingsAreNotMixed) {
  write_sites(data, {"a", "b", "c", "d"});
  expect_ok(fuse(out));
  expect_error(fuse(out, {"--method", "pca"}), kFailed, {"made with other settings", "name another --out"});
  const fs::path pca = dir / "pca";
  expect_ok(fuse(pca, {"--method", "pca"}));
  expect_error(fuse(pca, {"--method", "pca", "--pca-scope", "image"}), kFailed, {"made with other settings"});
  expect_error(fuse(pca, {"--method", "pca", "--pca-range", "deviations"}), kFailed,
               {"made with other settings"});
}

TEST_F(CliFuse, PicturesOfAnotherWhiteAreNotMixed) {
  write_sites(data, {"a", "b"});
  expect_ok(fuse(out));
  expect_error(fuse(out, {"--white", "4095"}), kFailed, {"made with other settings", "name another --out"});
}

TEST_F(CliFuse, TheRangeOfComponentsIsThatWhichIsAskedFor) {
  write_sites(data, {"a", "b", "c", "d"});
  expect_ok(fuse(dir / "percentile", {"--method", "pca"}));
  expect_ok(fuse(dir / "deviations", {"--method", "pca", "--pca-range", "deviations"}));
  EXPECT_NE(read_file(dir / "percentile/images/a_w1.png"), read_file(dir / "deviations/images/a_w1.png"));
}

TEST_F(CliFuse, KeepsEveryColumn) {
  write_tiny_data(data, {.images = 2, .channels = 6});
  const std::string table = read_file(data / "labels.csv");
  dir.write("data/labels.csv", std::regex_replace(std::regex_replace(table, std::regex("(c[0-9])"), "$1,p"),
                                                  std::regex("label"), "label,dose"));
  expect_ok(fuse(out));
  EXPECT_THAT(read_file(out / "labels.csv"),
              testing::StartsWith("image,label,group,dose\ni0_w1.png,c0,g0,p\n"));
}

TEST_F(CliFuse, MissingImagesAloneMayBeTooMany) {
  write_sites(data, {"a", "b", "c", "d"});
  fs::remove(data / "a_w3.png");
  expect_error(fuse(out, {"--max-missing", "0.2"}), kFailed, {"1 of 4 samples (25.0%) are missing"});
  EXPECT_FALSE(fs::exists(out));
  expect_error(run_command({"pack", "--data", data.string(), "--out", (dir / "pack").string()}), kFailed,
               {"1 of 4 samples (25.0%) are missing"});
  EXPECT_FALSE(fs::exists(dir / "pack"));
}

TEST_F(CliFuse, AnotherSelectionDoesNotTakeTheTablesPlace) {
  write_tiny_data(data, {.images = 8, .channels = 3});
  const Words pca{"--method", "pca", "--pca-scope", "image"};
  expect_ok(fuse(out, pca + Words{"--where", "group=g1"}));
  const std::string labels = read_file(out / "labels.csv");
  expect_error(fuse(out, pca + Words{"--where", "group=g2"}), kFailed, {"pictures of other images"});
  EXPECT_EQ(read_file(out / "labels.csv"), labels);
}

TEST_F(CliFuse, AnImageOfAnotherGroupIsAnotherPicture) {
  write_tiny_data(data, {.images = 8, .channels = 3});
  const Words pca{"--method", "pca", "--pca-scope", "group"};
  expect_ok(fuse(out, pca));
  const std::string labels = read_file(data / "labels.csv");
  dir.write("data/labels.csv",
            std::regex_replace(labels, std::regex("g0\n"), "g1\n", std::regex_constants::format_first_only));
  ASSERT_NE(read_file(data / "labels.csv"), labels);
  expect_error(fuse(out, pca), kFailed, {"pictures of other images"});
  // Its label changes nothing but the table.
  dir.write("data/labels.csv", std::regex_replace(labels, std::regex("c0,"), "c9,"));
  expect_ok(fuse(out, pca));
  EXPECT_THAT(read_file(out / "labels.csv"), HasSubstr("c9"));
}

TEST_F(CliFuse, AnImageThatTurnsUpIsAdded) {
  write_sites(data, {"a", "b", "c", "d"});
  fs::rename(data / "b_w2.png", dir / "later.png");
  expect_ok(fuse(out, {"--max-missing", "0.5"}));
  fs::rename(dir / "later.png", data / "b_w2.png");
  EXPECT_THAT(fuse(out).out, HasSubstr("4 RGB images and labels.csv, 3 of them from before"));
  EXPECT_EQ(open_dataset(out).samples.size(), 4U);
  EXPECT_EQ(read_file(out / "missing.csv"), "image,file,reason\n");
}

TEST_F(CliFuse, AnImageOfOnePixelHasNoComponents) {
  dir.write("data/labels.csv", "image,label\na.png,x\n");
  write_png(data / "a.png", {1, 1, 3, {1, 2, 3}});
  expect_error(fuse(out, {"--method", "pca", "--pca-scope", "image"}), kFailed,
               {"a.png: a PCA needs two pixels"});
  expect_error(fuse(dir / "all", {"--method", "pca"}), kFailed, {"dataset: a PCA needs two pixels"});
}

TEST_F(CliFuse, ComponentsOfEachScopeLieBesideThePictures) {
  write_tiny_data(data, {.images = 16, .groups = 3, .side = 20, .channels = 3});
  const CommandResult result = fuse(out, {"--method", "pca", "--pca-scope", "group"});
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr("g0: explained variance "));
  const PcaFile file = read_pca(out / "pca.json");
  EXPECT_EQ(file.scope, "group");
  ASSERT_EQ(file.fits.size(), 3U);
  EXPECT_EQ(
      file.fits.at("g0").sums.pixels() + file.fits.at("g1").sums.pixels() + file.fits.at("g2").sums.pixels(),
      16 * 400);
  const Dataset source = open_dataset(data), fused = open_dataset(out);
  ASSERT_EQ(fused.samples.size(), 16U);
  EXPECT_EQ(fused.group_column, "group");
  for (size_t i = 0; i < 16; ++i) {
    const PcaFit& fit = file.fits.at(source.samples[i].values[*source.column("group")]);
    EXPECT_EQ(read_sample(fused.samples[i]).pixels,
              pca_to_rgb(read_sample(source.samples[i]), fit.pca, fit.ranges).pixels);
  }
}

TEST_F(CliFuse, TakesASiteOfEachWell) {
  std::string table = "id_code,experiment,plate,well,sirna\n";
  for (const char* well : {"C03", "C04"}) {
    table += fmt::format("HUVEC-01_1_{0},HUVEC-01,1,{0},sirna_1\n", well);
    for (int site = 1; site <= 2; ++site) {
      for (int c = 1; c <= 6; ++c) {
        const fs::path file = data / fmt::format("train/HUVEC-01/Plate1/{}_s{}_w{}.png", well, site, c);
        fs::create_directories(file.parent_path());
        write_png(file, tiny_image({}, c));
      }
    }
  }
  dir.write("data/train.csv", table);
  expect_ok(fuse(out, {"--sites", "1", "--method", "pca", "--pca-scope", "plate"}));
  EXPECT_THAT(listing(out / "images"), ElementsAre("HUVEC-01_1_C03_s1.png", "HUVEC-01_1_C04_s1.png"));
  EXPECT_EQ(read_pca(out / "pca.json").fits.begin()->first, "HUVEC-01_Plate1");
  expect_error(fuse(dir / "none", {"--sites", "3"}), kFailed, {"site '3'"});
}

TEST_F(CliFuse, ColoursOfOnesOwn) {
  write_tiny_data(data, {.images = 4, .channels = 3});
  expect_error(fuse(dir / "six"), kFailed,
               {"data/i0.png: the colormap is for 6 channels and the image has 3", "--colormap"});
  const fs::path colours =
      dir.write("colours.csv", "channel,colour,low,high\n1,#FF0000,0,200\n3,#00FF80,10,110\n");
  expect_ok(fuse(out, {"--colormap", colours.string()}));
  const Image source = read_image(data / "i1.png"), fused = read_image(out / "images/i1.png");
  for (size_t i = 0; i < source.pixels.size(); i += 3) {
    const double red = std::min(1.0, source.pixels[i] / 200.0);
    const double green = std::clamp((source.pixels[i + 2] - 10) / 100.0, 0.0, 1.0);
    ASSERT_NEAR(fused.pixels[i], std::floor(red * 255.0 + 1e-9), 1e-9) << i;
    ASSERT_NEAR(fused.pixels[i + 1], std::floor(green * 255.0 + 1e-9), 1e-9) << i;
    ASSERT_NEAR(fused.pixels[i + 2], std::floor(green * 128.0 + 1e-9), 1e-9) << i;
  }
  expect_error(
      fuse(dir / "other", {"--colormap", dir.write("bad.csv", "channel,colour,low,high\n1,red,0,9\n")}),
      kFailed, {"bad.csv:2: colour is 'red'; expected #RRGGBB"});
}

TEST_F(CliFuse, PreviewsAnyNumberOfChannels) {
  for (const int channels : {1, 3}) {
    const fs::path folder =
        write_tiny_data(dir / fmt::format("c{}", channels), {.images = 4, .channels = channels});
    const fs::path sheet = dir / "sheet.png";
    expect_ok(run_command({"fuse", "--data", folder.string(), "--preview", sheet.string()}));
    const Image image = read_image(sheet);
    EXPECT_EQ(image.width, (channels + 2) * 20 - 4) << "channels and two kinds of components";
    EXPECT_EQ(image.height, 4 * 20 - 4);
  }
}

TEST_F(CliFuse, APreviewOfThinImagesHasALineOfEach) {
  fs::create_directories(data);
  for (const char* name : {"a.png", "b.png"})
    write_png(data / name, {3, 2000, 1, std::vector<uint8_t>(6000, 90)});
  const fs::path sheet = dir / "sheet.png";
  expect_ok(run_command({"fuse", "--data", data.string(), "--preview", sheet.string()}));
  EXPECT_EQ(read_image(sheet).height, 1 + 4 + 1);
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
  EXPECT_EQ(read_file(data / "labels.csv"), table);
  EXPECT_THAT(listing(data), ElementsAre("images", "labels.csv"));
}

// What the system cannot look at may be a record of pictures, or pictures, of other settings.
TEST_F(CliFuse, WhatCannotBeLookedAtIsNotTakenForAbsent) {
  write_sites(data, {"a", "b"});
  for (const char* name : {"fuse.json", "images"}) {
    SCOPED_TRACE(name);
    expect_ok(fuse(out));
    fs::remove_all(out / name);
    fs::create_symlink(name, out / name);  // to itself
    expect_error(fuse(out, {"--method", "pca"}), kFailed, {name, "cannot be looked at"});
    EXPECT_TRUE(fs::is_symlink(out / name));
    fs::remove_all(out);
  }
}

// A file of each kind of folder that is somebody else's.
TEST_F(CliFuse, AFolderOfOtherFilesIsRefusedAndLeftAsItIs) {
  write_sites(data, {"a", "b"});
  for (const char* other : {"labels.csv", "pca.json", "colormap.csv", "missing.csv", "images/a_w1.png",
                            "images/a_w1.png.tmp.1", "notes.txt", "fuse.json", "sheet.png.tmp.1"}) {
    SCOPED_TRACE(other);
    dir.write(fs::path("mine") / other, "{}");
    const auto before = contents(dir / "mine");
    for (const char* method : {"colormap", "pca"}) {
      expect_error(fuse(dir / "mine", {"--method", method}), kFailed,
                   {"mine: holds other files, such as " + fs::path(other).begin()->string(),
                    "name a folder of its own for the pictures"});
      EXPECT_EQ(contents(dir / "mine"), before);
    }
    fs::remove_all(dir / "mine");
  }
}

TEST_F(CliFuse, AFolderThatIsEmptyOrItsOwnIsTaken) {
  write_sites(data, {"a", "b"});
  fs::create_directory(out);
  dir.write("out/fuse.json.tmp.1", "half");
  const Words preview{"--preview", (out / "sheet.png").string()};
  expect_ok(fuse(out, preview));
  EXPECT_THAT(listing(out),
              ElementsAre("colormap.csv", "fuse.json", "images", "labels.csv", "missing.csv", "sheet.png"));
  dir.write("out/notes.txt", "mine");
  expect_ok(fuse(out, preview));
  EXPECT_EQ(read_file(out / "notes.txt"), "mine");
}

TEST_F(CliFuse, APreviewInTheFolderDoesNotBlockIt) {
  write_tiny_data(data, {.images = 4, .channels = 3});
  fs::create_directory(out);
  const Words preview{"--preview", (out / "sheet.png").string()};
  expect_error(fuse(out, preview), kFailed, {"the colormap is for 6 channels"});
  EXPECT_THAT(listing(out), ElementsAre("sheet.png"));
  expect_ok(fuse(out, preview + Words{"--method", "pca"}));
}

TEST_F(CliFuse, WhatFailsByItsSettingsLeavesNoFolder) {
  write_tiny_data(data, {.images = 4, .groups = 0, .channels = 3});
  expect_error(fuse(out), kFailed, {"the colormap is for 6 channels"});
  EXPECT_FALSE(fs::exists(out));
  expect_error(fuse(out, {"--method", "pca", "--pca-scope", "group"}), kFailed, {"have no groups"});
  EXPECT_FALSE(fs::exists(out));
  expect_error(fuse(out, {"--method", "pca", "--pca-scope", "plate"}), kFailed, {"no column 'plate'"});
  EXPECT_FALSE(fs::exists(out));
  for (const char* nested : {"a/b", "a/b/", "./a/./b//"}) {
    expect_error(fuse(dir.path().string() + "/" + nested), kFailed, {"the colormap is for 6 channels"});
    EXPECT_FALSE(fs::exists(dir / "a")) << nested;
  }
}

TEST_F(CliFuse, AFolderWithoutAPictureIsBegunAnew) {
  write_tiny_data(data, {.images = 4, .channels = 3});
  write_png(data / "i3.png", tiny_image({}, 3));
  expect_error(fuse(out, {"--method", "pca"}), kFailed, {"i3.png has 1 channels but"});
  EXPECT_TRUE(fs::exists(out / "fuse.json"));
  for (const char* table : {"labels.csv", "missing.csv", "colormap.csv", "pca.json"})
    dir.write(out / table, "of the settings before");
  write_png(data / "i3.png", tiny_image({.channels = 3}, 3));
  const Words right{"--method", "pca", "--pca-scope", "group"};
  expect_ok(fuse(out, right));
  expect_ok(fuse(dir / "new", right));
  EXPECT_EQ(contents(out), contents(dir / "new"));
}

TEST_F(CliFuse, AnImageOfOtherChannelsThanTheColormapIsNamed) {
  write_sites(data, {"a", "b", "c"});
  std::ofstream(data / "labels.csv", std::ios::app) << "d.png,c1\n";
  write_png(data / "d.png", tiny_image({}, 1));
  expect_error(fuse(out), kFailed, {"data/d.png: the colormap is for 6 channels and the image has 1"});
  const fs::path colours = dir.write("colours.csv", "channel,colour,low,high\n2,#FF0000,0,200\n");
  expect_error(run_command({"fuse", "--data", data.string(), "--preview", (dir / "sheet.png").string(),
                            "--colormap", colours.string()}),
               kFailed, {"data: the colormap is for 2 channels and the image has 6"});
  expect_ok(run_command({"pack", "--data", data.string(), "--out", (dir / "pack").string()}));
  expect_error(run_command({"fuse", "--data", (dir / "pack").string(), "--out", (dir / "rgb").string()}),
               kFailed, {"pack: 'd.png': the colormap is for 6 channels and the image has 1"});
}

// Six names of this length, joined, are longer than a file's name may be.
TEST_F(CliFuse, APackGivesWhatItsFolderGives) {
  const std::string long_name = "plate_3_well_C03_" + std::string(40, 'x');
  write_sites(data, {"a.v1", "b", long_name});
  expect_ok(run_command({"pack", "--data", data.string(), "--out", (dir / "pack").string()}));
  for (const char* method : {"colormap", "pca"}) {
    SCOPED_TRACE(method);
    const fs::path from_files = dir / "files" / method, from_pack = dir / "packed" / method;
    expect_ok(fuse(from_files, {"--method", method}));
    expect_ok(run_command(
        {"fuse", "--data", (dir / "pack").string(), "--out", from_pack.string(), "--method", method}));
    EXPECT_THAT(listing(from_pack / "images"), ElementsAre("a.v1_w1.png", "b_w1.png", long_name + "_w1.png"));
    EXPECT_EQ(contents(from_pack), contents(from_files));
  }
}

TEST_F(CliFuse, ASemicolonInAFilesOwnNameStaysApart) {
  for (const char* name : {"x/a;1.png", "x/a;2.png"}) {
    fs::create_directories(data / "x");
    write_png(data / name, tiny_image({.channels = 3}, 1));
  }
  expect_ok(run_command({"pack", "--data", data.string(), "--out", (dir / "pack").string()}));
  for (const fs::path& source : {data, dir / "pack"}) {
    expect_ok(run_command({"fuse", "--data", source.string(), "--out", out.string(), "--method", "pca"}));
    EXPECT_THAT(listing(out / "images/x"), ElementsAre("a_1.png", "a_2.png"));
    fs::remove_all(out);
  }
}

TEST_F(CliFuse, APreviewReplacesNoImageAndNoOtherFile) {
  write_sites(data, {"a", "b"});
  expect_ok(fuse(out));
  expect_ok(run_command({"pack", "--data", data.string(), "--out", (dir / "pack").string()}));
  const auto preview = [&](const fs::path& file) { return fuse(out, {"--preview", file.string()}); };
  for (const char* name : {"notes.txt", "data/labels.csv", "png"}) {
    dir.write("notes.txt", "mine");
    expect_error(preview(dir / name), kWrongUsage, {"--preview", "does not end in .png"});
    EXPECT_EQ(read_file(dir / "notes.txt"), "mine");
  }
  const auto before = contents(out);
  expect_error(preview(data / "a_w1.png"), kFailed, {"a_w1.png lies in --data"});
  expect_error(preview(data / "new.png"), kFailed, {"new.png lies in --data"});
  expect_error(preview(out / "images/a_w1.png"), kFailed, {"lies among the pictures of --out"});
  expect_error(preview(dir / "pack/sheet.png"), kFailed, {"lies in the folder of a pack"});
  fs::create_hard_link(data / "b_w1.png", dir / "b_w1.png");
  expect_error(preview(dir / "b_w1.png"), kFailed, {"is an input"});
  EXPECT_EQ(contents(out), before);
  dir.write("sheet.PNG", "an older one");
  expect_ok(preview(dir / "sheet.PNG"));
  EXPECT_EQ(read_image(dir / "sheet.PNG").channels, 3);
}

TEST_F(CliFuse, NoPackMakesItWriteElsewhere) {
  write_sites(data, {"a", "b"});
  for (const std::string& name : {std::string("../../a_w1.png"), (dir / "elsewhere/a_w1.png").string()}) {
    const fs::path pack = dir / "pack";
    expect_ok(run_command({"pack", "--data", data.string(), "--out", pack.string()}));
    change_index(dir, pack, [&](const std::string& text) {
      return std::regex_replace(text, std::regex("a_w1\\.png"), name);
    });
    const auto before = contents(dir.path());
    expect_error(run_command({"fuse", "--data", pack.string(), "--out", out.string()}), kFailed,
                 {"pack: the picture of '" + name, "would be written outside of --out"});
    EXPECT_EQ(contents(dir.path()), before);
    fs::remove_all(pack);
  }
}

TEST_F(CliFuse, TwoProcessesDoNotFuseIntoOneFolder) {
  write_sites(data, {"a", "b"});
  expect_ok(fuse(out));
  dir.write("out/labels.csv.tmp.1", "another's");
  const int held = open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  expect_error(fuse(out), kFailed, {"out: another process is fusing into this folder"});
  EXPECT_TRUE(fs::exists(out / "labels.csv.tmp.1"));
  close(held);
  expect_ok(fuse(out));
  EXPECT_FALSE(fs::exists(out / "labels.csv.tmp.1"));
}

TEST_F(CliFuse, OptionsThatWouldBeIgnoredAreWrongUsage) {
  write_sites(data, {"a", "b"});
  const fs::path colours = dir.write("colours.csv", Colormap::rxrx1().csv());
  for (const Words& words : {Words{"--pca-scope", "dataset"}, Words{"--pca-range", "percentile"}})
    expect_error(fuse(out, words), kWrongUsage, {words[0] + ": has no meaning with --method colormap"});
  const Words pca{"--method", "pca", "--colormap", colours.string()};
  expect_error(fuse(out, pca), kWrongUsage,
               {"--colormap: has no meaning with --method pca and without --preview"});
  EXPECT_FALSE(fs::exists(out));
  expect_ok(fuse(out, pca + Words{"--preview", (dir / "sheet.png").string()}));
}

TEST_F(CliFuse, SitesHaveNoEmptyPart) {
  write_sites(data, {"a", "b"});
  for (const char* sites : {"1,", ",1", "1,,2", ","})
    expect_error(fuse(out, {"--sites", sites}), kWrongUsage,
                 {fmt::format("--sites: '{}' has an empty part", sites)});
}

TEST_F(CliFuse, ADamagedFileIsNamed) {
  write_sites(data, {"a", "b", "c"});
  const Words pca{"--method", "pca"};
  expect_ok(fuse(out, pca));
  const auto whole = contents(out);
  fs::remove(out / "images/b_w1.png");
  fs::resize_file(out / "pca.json", 100);
  expect_error(fuse(out, pca), kFailed,
               {"out/pca.json: is not JSON at byte 101; the file is damaged", "remove the folder"});
  fs::remove(out / "images/a_w1.png");
  fs::remove(out / "images/c_w1.png");
  expect_ok(fuse(out, pca));
  EXPECT_EQ(contents(out), whole) << "without a picture there is nothing to mix";
  for (const uintmax_t bytes : {20, 0}) {
    fs::resize_file(out / "fuse.json", bytes);
    expect_error(fuse(out, pca), kFailed,
                 {"out/fuse.json: is damaged", "remove the folder", "or name another --out"});
  }
}

}  // namespace
}  // namespace cytograd::test
