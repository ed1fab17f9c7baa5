// What the command line says of data that cannot be trained on: one line that names the place and what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/support/png_chunks.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Training on `data` fails with all of `parts` and makes no run folder.
void expect_refused(const TempDir& dir, const Words& parts, const Words& more = {}) {
  expect_error(train(dir / "data", dir / "run", more), kFailed, parts);
  EXPECT_FALSE(std::filesystem::exists(dir / "run"));
}

void append_row(const TempDir& dir, const std::string& row) {
  std::ofstream(dir / "data/labels.csv", std::ios::app) << row << "\n";
}

TEST(CliData, AFolderThatIsNoDatasetIsNamed) {
  const TempDir dir;
  expect_refused(dir, {"data: no such folder"});
  std::filesystem::create_directory(dir / "data");
  expect_refused(dir, {"data: is an empty folder"});
  dir.write("data/readme.txt", "nothing here");
  expect_refused(dir, {"data: holds no dataset of a known layout; looked for: labels.csv (image,label"});
  expect_error(run_command({"inspect", "--data", (dir / "data/readme.txt").string()}), kFailed,
               {"readme.txt: is not a folder"});
}

TEST(CliData, ATableIsNamedWithLineAndColumns) {
  const TempDir dir;
  dir.write("data/i.png");
  dir.write("data/labels.csv", "image,kind\ni.png,a\n");
  expect_refused(dir, {"labels.csv has no column 'label'; --label takes another of image, kind"});
  dir.write("data/labels.csv", "image,label\ni.png,a\nj.png,b\ni.png,b\n");
  expect_refused(dir, {"labels.csv:4: 'i.png' is there already, at", "labels.csv:2"});
  dir.write("data/labels.csv", "image,label\ni.png,a,b\n");
  expect_refused(dir, {"labels.csv:2: 3 fields, but the header has 2"});
  dir.write("data/labels.csv", "image,label\ni.png,\"a\n");
  expect_refused(dir, {"labels.csv:2: a quote is opened and not closed"});
  dir.write("data/labels.csv", "image,label\n../i.png,a\n");
  expect_refused(dir, {"labels.csv:2", "outside of the dataset"});
  dir.write("data/labels.csv", "");
  expect_refused(dir, {"labels.csv: is empty"});
  dir.write("data/labels.csv", "image,label\n");
  expect_refused(dir, {"data: its tables name no image"});
}

TEST(CliData, APipeInPlaceOfATableDoesNotBlock) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "data");
  ASSERT_EQ(mkfifo((dir / "data/labels.csv").c_str(), 0600), 0);
  const CommandResult result = train(dir / "data", dir / "run", {}, {.limit = std::chrono::seconds(20)});
  EXPECT_FALSE(result.timed_out);
  expect_error(result, kFailed, {"labels.csv: is not a regular file"});
}

TEST(CliData, InspectCountsWhatIsThereAndWhatIsMissing) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 30, .channels = 2});
  std::string rows = "image,label,dose\n";  // one image each of the doses 0 to 13, and 16 of 14
  for (int i = 0; i < 30; ++i)
    rows += fmt::format("i{0}_w1.png;i{0}_w2.png,c{1},{2}\n", i, i % 2, std::min(i, 14));
  dir.write("data/labels.csv", rows);
  for (int i = 20; i < 27; ++i) {
    for (const char* channel : {"w1", "w2"})
      std::filesystem::remove(dir / fmt::format("data/i{}_{}.png", i, channel));
  }
  const Words inspect{"inspect", "--data", (dir / "data").string()};
  const CommandResult told = run_command(inspect);
  expect_ok(told);
  for (const char* part :
       {"  23 of 30 named images are there; the first has 16 x 16 pixels and 2 channels\n",
        "  label              2 values: c0 (11), c1 (12)\n",
        "  dose               15 values: 0 to 14, 1 to 9 images each\n", "  7 images lack files\n",
        "    no such file: 14\n", "    and 2 more; --json lists all\n"})
    EXPECT_THAT(told.out, HasSubstr(part));
  const auto json = nlohmann::json::parse(run_command(inspect + Words{"--json"}).out);
  EXPECT_EQ(json.at("named"), 30);
  EXPECT_EQ(json.at("images"), 23);
  EXPECT_EQ(json.at("incomplete"), 7);
  EXPECT_EQ(json.at("missing").size(), 14U);
  EXPECT_EQ(json.at("columns").at("label"), nlohmann::json({{"c0", 11}, {"c1", 12}}));
  EXPECT_EQ(json.at("columns").at("dose").at("14"), 9);
}

TEST(CliData, LabelsAndGroupsMustBeThere) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_refused(dir, {"has no column 'drug'; it has image, label, group"}, {"--label", "drug"});
  expect_refused(dir, {"has no column 'well'; it has image, label, group"}, {"--group", "well"});
  expect_refused(dir, {"no image has group 'g9'; there are g0, g1, g2, g3"}, {"--val-group", "g9"});
  expect_refused(dir, {"all groups of group are held out"}, {"--val-group", "g0,g1,g2,g3"});
  expect_refused(dir, {"no image has group 'g9'; there are"}, {"--where", "group=g9"});
  expect_refused(dir, {"has no column 'plate'"}, {"--where", "plate=1"});
  expect_refused(dir, {"two classes or more, but label has only 'c1'"}, {"--where", "label=c1"});
  expect_refused(dir, {"fewer than two groups"}, {"--where", "group=g1"});
  append_row(dir, "i99.png,,g1");
  dir.write("data/i99.png", read_file(dir / "data/i1.png"));
  expect_refused(dir, {"1 of 25 images have no label, such as i99.png"});
}

TEST(CliData, AClassThatIsOnlyValidatedOnIsNamed) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  write_png(dir / "data/i24.png", tiny_image({}, 24));
  append_row(dir, "i24.png,c2,g3");
  const CommandResult result = train(dir / "data", dir / "run", {"--val-group", "g3"});
  expect_ok(result);
  EXPECT_THAT(result.err, HasSubstr("warning: no training image has the class 'c2'"));
}

TEST(CliData, GroupsCannotBeHeldOutOfDataWithoutGroups) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.groups = 0});
  expect_refused(dir, {"--val-group: the dataset has no groups; name their column with --group"},
                 {"--val-group", "g1"});
}

TEST(CliData, FewerImagesThanABatchAreRefused) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_refused(dir, {"--batch 64 is larger than the 18 training images; use a smaller one"},
                 {"--batch", "64", "--val-group", "g0"});
}

TEST(CliData, ImagesOfOneSizeAndOneKind) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const TinyData small{.side = 12};
  write_png(dir / "data/i7.png", tiny_image(small, 7));
  expect_refused(dir, {"i7.png is 12 x 12 pixels but", "i0.png is 16 x 16; train with --crop"});
  expect_ok(train(dir / "data", dir / "cropped", {"--crop", "12"}));
  expect_refused(dir, {"i7.png is 12 x 12 pixels, smaller than the crop of 14; train with a smaller --crop"},
                 {"--crop", "14"});
  expect_refused(dir, {"smaller than the crop of 16", "--shrink"}, {"--crop", "8", "--shrink", "2"});
  write_png(dir / "data/i7.png", tiny_image({.channels = 3}, 7));
  expect_refused(dir, {"i7.png has 3 channels but", "i0.png has 1"});
}

TEST(CliData, AShrinkBeyondTheImageIsRefused) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_refused(dir, {"images of 16 x 16 pixels are smaller than --shrink 17 averages; use a smaller one"},
                 {"--shrink", "17"});
  expect_ok(train(dir / "data", dir / "run", {"--shrink", "16"}));
}

// The size that all must have is that of an image, not of a header whose pixels are not there.
TEST(CliData, TheFirstImageMayBeTornAndOfAnotherSize) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40});
  write_png(dir / "data/i0.png", tiny_image({.side = 40}, 0));
  const std::string whole = read_file(dir / "data/i0.png");
  dir.write("data/i0.png", whole.substr(0, whole.size() - 20));
  const CommandResult result = train(dir / "data", dir / "run");
  expect_ok(result);
  EXPECT_THAT(result.err, HasSubstr("unreadable, skipped: " + (dir / "data/i0.png").string()));
  EXPECT_THAT(result.out, HasSubstr("images of 16 x 16 pixels"));
}

TEST(CliData, AFileThatIsListedTwiceIsRefusedHoweverItIsWritten) {
  const TempDir dir;
  write_tiny_data(dir / "data/images", {.images = 4});
  for (const char* other : {"i0.png", "./i0.png", "x/../i0.png", "x//..//i0.png"}) {
    dir.write("data/labels.csv", fmt::format("image,label\ni0.png,a\ni1.png,b\n{},a\n", other));
    expect_refused(dir, {fmt::format("labels.csv:4: '{}' is there already, at", other), "labels.csv:2"});
  }
  dir.write("data/labels.csv", "image,label\ni0.png;i1.png,a\ni2.png;i3.png,b\n./i0.png;i1.png,a\n");
  expect_refused(dir, {"labels.csv:4: './i0.png;i1.png' is there already"});
}

TEST(CliData, TheTrainingFolderIsNoValidationFolder) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  std::filesystem::create_directory_symlink(dir / "data", dir / "link");
  for (const char* same : {"data", "link", "data/../data/."})
    expect_refused(dir, {"is the folder of --data, whose images are trained on"},
                   {"--val", (dir / same).string()});
}

TEST(CliData, UnlabelledAndOtherwiseSizedImagesArePredictedWithANote) {
  const TempDir dir;
  const std::filesystem::path run = trained_run(write_tiny_data(dir / "data"), dir / "run");
  write_tiny_data(dir / "other", {.images = 4, .side = 24});
  dir.write("other/labels.csv", "image,dose\ni0.png,1\ni1.png,2\n");
  const Words predict{"predict", "--model", run.string(), "--out", (dir / "p.csv").string()};
  const CommandResult result = run_command(predict + Words{(dir / "other").string()});
  expect_ok(result);
  EXPECT_THAT(result.err, HasSubstr("note: " + (dir / "other").string() +
                                    ": the images have 24 x 24 pixels but the model was trained on 16 x 16"));
  EXPECT_THAT(run_command(predict + Words{(dir / "data").string()}).err, Not(HasSubstr("note")));
  const Words eval{"eval", "--model", run.string(), "--data", (dir / "other").string()};
  expect_error(run_command(eval), kFailed, {"no labels to compare with"});
  dir.write("other/labels.csv", "image,label\ni0.png,c0\ni1.png,\n");
  EXPECT_THAT(run_command(eval).err, AllOf(HasSubstr("1 of 2 images have no label and are left out"),
                                           HasSubstr("trained on 16 x 16")));
  write_tiny_data(dir / "cut", {.images = 4, .side = 24});
  trained_run(dir / "data", dir / "crop", {"--crop", "8"});
  EXPECT_THAT(run_command({"eval", "--model", (dir / "crop").string(), "--data", (dir / "cut").string()}).err,
              Not(HasSubstr("trained on")));
}

TEST(CliData, SixteenBitPicturesAreReadWithTheirWhite) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 8});
  for (int i = 0; i < 8; ++i) {
    std::string row(1, '\0');
    for (int x = 0; x < 16; ++x) row += {static_cast<char>(i), static_cast<char>(16 * x)};
    std::string rows;
    for (int y = 0; y < 16; ++y) rows += row;
    dir.write(fmt::format("data/i{}.png", i), make_png({.width = 16, .height = 16, .depth = 16}, rows));
  }
  const CommandResult inspected = run_command({"inspect", "--data", (dir / "data").string()});
  EXPECT_THAT(
      inspected.out,
      HasSubstr(
          "  8 of 8 images looked at have 16 bits; their brightest value is 2032; --white 2047 is of as many bits\n"));
  const auto json =
      nlohmann::json::parse(run_command({"inspect", "--json", "--data", (dir / "data").string()}).out);
  EXPECT_EQ(json.at("looked_at"), 8);
  EXPECT_EQ(json.at("of_16_bits"), 8);
  EXPECT_EQ(json.at("brightest"), 2032);
  EXPECT_EQ(json.at("white"), 2047);
  for (const char* command : {"train", "pack", "fuse"}) {
    const Words words{command, "--data", (dir / "data").string(), "--out", (dir / command).string()};
    const Words more = std::string(command) == "train"
                           ? Words{"--model", "small", "--epochs", "1", "--batch", "4"}
                       : std::string(command) == "fuse" ? Words{"--method", "pca"}
                                                        : Words{};
    const std::string warning =
        "warning: " + (dir / "data").string() + ": the brightest 16-bit value of 8 images looked at is 2032";
    EXPECT_THAT(
        run_command(words + more).err,
        HasSubstr(warning + ", and --white 65535 makes it 8 of 255; --white 2047 keeps their contrast\n"));
    EXPECT_THAT(run_command(Words{command, "--data", (dir / "data").string(), "--out",
                                  (dir / command).string() + "2", "--white", "4095"} +
                            more)
                    .err,
                Not(HasSubstr("brightest")));
  }
  EXPECT_THAT(
      run_command({"eval", "--model", (dir / "train").string(), "--data", (dir / "data").string()}).err,
      HasSubstr("--white 65535 makes it 8 of 255; the model was trained with that\n"));
  write_png(dir / "data/i0.png", tiny_image({}, 0));
  EXPECT_THAT(train(dir / "data", dir / "mixed", {"--white", "2047"}).err,
              HasSubstr("of 8 images looked at, 7 have 16 bits and the others 8"));
  expect_ok(train(dir / "data", dir / "run", {"--white", "2047"}));
  EXPECT_THAT(read_file(dir / "run/config.toml"), HasSubstr("white=2047\n"));
  expect_error(train(dir / "data", dir / "run", {"--white", "2048", "--resume"}), kWrongUsage,
               {"--white", "2047"});
  for (const char* white : {"0", "65536", "-1", "1.5"})
    expect_error(train(dir / "data", dir / "other", {"--white", white}), kWrongUsage,
                 {"--white", "is not a whole number from 1 to 65535"});
}

/// One of 40 images (2.5%) is spoilt, then three (7.5%).
void expect_skipped_then_refused(const std::string& content, const std::string& reason, const Words& more) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40});
  dir.write("data/i1.png", content);
  const CommandResult below = train(dir / "data", dir / "below", more);
  expect_ok(below);
  EXPECT_THAT(below.err, HasSubstr("unreadable, skipped: " + (dir / "data/i1.png").string() + ": " + reason));
  dir.write("data/i2.png", content);
  dir.write("data/i11.png", content);
  const CommandResult above = train(dir / "data", dir / "run", more);
  expect_error(above, kFailed,
               {"3 of 40 images are missing or unreadable, more than --max-missing 0.05 allows"});
  for (const char* name : {"i1.png: ", "i2.png: ", "i11.png: "})
    EXPECT_THAT(above.err, HasSubstr(name + reason));
  expect_ok(train(dir / "data", dir / "allowed", more + Words{"--max-missing", "0.1"}));
}

TEST(CliData, AnEmptyPictureIsSkippedOrStops) { expect_skipped_then_refused("", "is empty", {}); }

TEST(CliData, ATextNamedPngIsSkippedOrStops) {
  expect_skipped_then_refused("hello, I am text", "is not a PNG, JPEG, BMP or TIFF picture", {});
}

TEST(CliData, ATruncatedPictureIsSkippedOrStops) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 2});
  const std::string whole = read_file(dir / "data/i1.png");
  expect_skipped_then_refused(whole.substr(0, whole.size() / 2), "is truncated", {});
}

TEST(CliData, APictureWhoseHeaderLiesAboutItsSizeIsSkippedOrStops) {
  const std::string huge = make_png({.width = 1U << 30, .height = 1U << 30}, std::string(17, '\0'));
  expect_skipped_then_refused(huge, "is corrupted", {});
}

TEST(CliData, WithoutACacheTooItIsSkippedOrStops) {
  expect_skipped_then_refused("hello, I am text", "is not a PNG, JPEG, BMP or TIFF picture",
                              {"--cache-gib", "0"});
}

TEST(CliData, MissingFilesAreCountedOrStop) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 40});
  std::filesystem::remove(dir / "data/i1.png");
  const CommandResult below = train(dir / "data", dir / "below");
  expect_ok(below);
  EXPECT_THAT(below.err, HasSubstr("1 of 40 images are missing or incomplete and are skipped"));
  std::filesystem::remove(dir / "data/i2.png");
  std::filesystem::remove(dir / "data/i3.png");
  expect_refused(dir, {"3 of 40 samples (7.5%)", "i1.png (no such file)", "--max-missing"});
}

TEST(CliData, NamesMayBeUnicodeAndHaveBlanksQuotesAndCommas) {
  const TempDir dir;
  const std::filesystem::path data = dir / "Zellen 1, \"gut\" [b] #2 é";
  for (int i = 0; i < 12; ++i) {
    const std::string label = i % 2 == 0 ? "a, \"b\"" : "größe";
    std::filesystem::create_directories(data / label);
    write_png(data / label / fmt::format("bild {},ü.png", i), tiny_image({}, i));
  }
  const std::filesystem::path run = trained_run(data, dir / "Lauf 1");
  expect_ok(train(data, run, {"--resume", "--epochs", "2"}));
  EXPECT_EQ(read_file(run / "classes.csv"), "index,name\n0,\"a, \"\"b\"\"\"\n1,größe\n");
  expect_ok(
      run_command({"predict", "--model", run.string(), "--out", (dir / "p.csv").string(), data.string()}));
  EXPECT_THAT(read_file(dir / "p.csv"), HasSubstr("\"a, \"\"b\"\"/bild 0,ü.png\","));
  expect_ok(run_command({"eval", "--model", run.string(), "--data", data.string()}));
}

TEST(CliData, ALineEndInANameDoesNotBreakTheErrorLine) {
  const TempDir dir;
  expect_error(run_command({"inspect", "--data", (dir / "a\nb").string()}), kFailed, {"a b: no such folder"});
}

TEST(CliData, AFolderThatLeadsToItselfIsNotFollowedForEver) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  std::filesystem::create_directory_symlink(dir / "data", dir / "data/loop");
  std::filesystem::create_symlink("round.png", dir / "data/round.png");
  append_row(dir, "round.png,c0,g1");
  const CommandResult result = train(dir / "data", dir / "run");
  expect_ok(result);
  EXPECT_THAT(result.err, HasSubstr("round.png: cannot be read"));
}

TEST(CliData, ManyClassesTrain) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 600, .classes = 300, .groups = 0, .side = 8});
  const CommandResult result = train(dir / "data", dir / "run", {"--batch", "32", "--val-fraction", "0.3"});
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr("300 classes of label"));
}

}  // namespace
}  // namespace cytograd::test
