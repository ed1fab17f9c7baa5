#include "tools/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "engine/check.h"
#include "tests/support/png_chunks.h"
#include "tests/support/tiny_data.h"

namespace cytograd {
namespace {

using test::message_of;
using test::TempDir;
using test::write_tiny_data;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Names = std::vector<std::string>;

TrainOptions options_for(const std::filesystem::path& data) {
  TrainOptions options;
  options.data = data.string();
  return options;
}

/// The values that a column has among some samples.
std::set<std::string> values_of(const Dataset& dataset, const std::string& column,
                                const std::vector<int64_t>& samples) {
  const Names names = group_names(dataset, column, samples);
  return {names.begin(), names.end()};
}

std::string quiet_error(const TrainOptions& options) {
  testing::internal::CaptureStderr();
  const std::string message = message_of<Error>([&] { load_training_data(options); });
  testing::internal::GetCapturedStderr();
  return message;
}

/// Sixteen pictures, a.png to p.png, beside a table.
void write_sites(const TempDir& dir, const std::string& rows) {
  dir.write("labels.csv", rows);
  for (char name = 'a'; name <= 'p'; ++name)
    write_png(dir / (std::string(1, name) + ".png"), test::tiny_image({}, name));
}

TEST(TrainingData, GroupsNeverStraddle) {
  const TempDir dir;
  write_tiny_data(dir.path(), {.images = 60, .groups = 7});
  for (uint64_t seed = 0; seed < 6; ++seed) {
    TrainOptions options = options_for(dir.path());
    options.seed = seed;
    TrainingData data = load_training_data(options);
    EXPECT_EQ(data.group_column, "group");
    EXPECT_EQ(data.train.size() + data.validation.size(), 60U);
    const auto held_out = values_of(data.images->dataset, "group", data.validation);
    EXPECT_EQ(Names(held_out.begin(), held_out.end()), data.held_out_groups);
    for (const std::string& group : values_of(data.images->dataset, "group", data.train)) {
      EXPECT_FALSE(held_out.contains(group)) << group;
    }
  }
}

TEST(TrainingData, AWellOfTheOwnSplitIsOnOneSide) {
  const TempDir dir;
  write_sites(dir,
              "image,label,well,site,split\n"
              "a.png,x,B1,1,train\nb.png,y,B2,1,train\nc.png,x,B1,2,val\n"
              "d.png,y,B3,1,val\ne.png,x,B4,1,train\nf.png,y,B5,1,train\n");
  testing::internal::CaptureStderr();
  const TrainingData data = load_training_data(options_for(dir.path()));
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      HasSubstr("1 training images are left out, since other images of their wells are validated on"));
  EXPECT_THAT(data.train, ElementsAre(1, 4, 5));
  EXPECT_THAT(data.train_labels, ElementsAre(1, 0, 1));
  EXPECT_THAT(data.validation, ElementsAre(2, 3));
}

/// Of the training images, of which the first is of a well of the validation folder's, all others are trained on.
void expect_the_first_left_out(const std::string& table, const std::string& validation_table) {
  const TempDir train, val;
  write_sites(train, table);
  write_sites(val, validation_table);
  TrainOptions options = options_for(train.path());
  options.val = val.path().string();
  testing::internal::CaptureStderr();
  const TrainingData data = load_training_data(options);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("1 training images are left out"));
  EXPECT_THAT(data.train, ElementsAre(1, 2, 3));
}

TEST(TrainingData, AWellOfTheValidationFolderIsNotTrainedOn) {
  expect_the_first_left_out("image,label,well,site\na.png,x,B1,1\nb.png,y,B2,1\nc.png,x,B3,1\nd.png,y,B4,1\n",
                            "image,label,well,site\na.png,x,B1,2\nb.png,y,B9,2\n");
}

TEST(TrainingData, WellsAreComparedByWhatBothFoldersKnowOfThem) {
  expect_the_first_left_out(
      "image,label,well,site,plate\na.png,x,B1,1,P1\nb.png,y,,1,P1\nc.png,x,,1,P1\nd.png,y,B4,1,P1\n",
      "image,label,well,site\na.png,x,B1,2\nb.png,y,B9,2\n");
}

TEST(TrainingData, WellsOfDifferentPlatesAreDifferentWells) {
  // Four plates of the same two wells and sites; what tells plates apart is the group, or nothing that is known.
  for (const std::string column : {"group", "barcode"}) {
    const TempDir dir;
    std::string table = "image,label," + column + ",well,site,split\n";
    for (int i = 0; i < 16; ++i)
      table += fmt::format("{}.png,c{},p{},B{},{},{}\n", static_cast<char>('a' + i), i % 2, i / 4, i % 4 / 2,
                           i % 2, i / 4 == 3 ? "val" : "train");
    write_sites(dir, table);
    testing::internal::CaptureStderr();
    const TrainingData own = load_training_data(options_for(dir.path()));
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.find("12 training images are of wells called as some that are validated on") !=
                  std::string::npos,
              column == "barcode")
        << said;
    EXPECT_THAT(own.train, SizeIs(12)) << column;
    TrainOptions options = options_for(dir.path());
    options.where = {"split=train"};
    options.group = column;
    options.val_group = {"p1"};
    EXPECT_THAT(load_training_data(options).validation, ElementsAre(4, 5, 6, 7)) << column;
  }
  const TempDir train, val;
  write_sites(train, "image,label,well,site\na.png,x,B1,1\nb.png,y,B2,1\n");
  write_sites(val, "image,label,well,site\na.png,x,B1,1\nb.png,y,B2,1\n");
  TrainOptions options = options_for(train.path());
  options.val = val.path().string();
  EXPECT_THAT(load_training_data(options).train, SizeIs(2))
      << "a site is there twice: the folders are two plates";
}

TEST(TrainingData, AWellIsOneThroughAllGroupsOfItsPlate) {
  const TempDir dir;
  const std::string rows =
      "a.png,x,day0,P1,B1,1\nb.png,y,day0,P1,B2,1\nc.png,x,day1,P1,B1,1\nd.png,y,day1,P1,B2,1\n"
      "e.png,x,day1,P1,B3,1\n";
  write_sites(dir, "image,label,group,plate,well,site\n" + rows);
  TrainOptions options = options_for(dir.path());
  options.val_group = {"day0"};
  EXPECT_THAT(quiet_error(options), HasSubstr("images of one well (B1 P1) would be trained on and held out"));
  // Of a folder without the groups, the same wells are told.
  const TempDir val;
  write_sites(val, "image,label,plate,well,site\na.png,x,P1,B1,2\nb.png,y,P2,B2,2\n");
  options.val_group = {};
  options.val = val.path().string();
  EXPECT_THAT(load_training_data(options).train, ElementsAre(1, 3, 4));
}

TEST(TrainingData, WellsThatAreCalledTheSameAreDrawnTogether) {
  const TempDir dir;
  std::string rows;  // two times of each well's one site
  for (int i = 0; i < 16; ++i)
    rows += fmt::format("{}.png,c{},B{},1,{}\n", static_cast<char>('a' + i), i / 2 % 2, i / 2, i % 2);
  write_sites(dir, "image,label,well,site,time\n" + rows);
  TrainOptions options = options_for(dir.path());
  options.val_fraction = 0.25;
  const TrainingData data = load_training_data(options);
  ASSERT_THAT(data.validation, SizeIs(4));
  for (size_t i = 0; i < 4; i += 2) EXPECT_EQ(data.validation[i] + 1, data.validation[i + 1]);
}

TEST(TrainingData, AWellIsKeptTogetherWhateverItsImagesAreCalled) {
  for (const std::string column : {"site", "field", "cell"}) {
    const TempDir dir;
    std::string rows;  // two images of each of eight wells
    for (int i = 0; i < 16; ++i)
      rows += fmt::format("{}.png,c{},P1,B{},{}\n", static_cast<char>('a' + i), i / 2 % 2, i / 2, i % 2);
    write_sites(dir, "image,label,plate,well," + column + "\n" + rows);
    TrainOptions options = options_for(dir.path());
    options.group = column;
    options.val_group = {"1"};
    EXPECT_THAT(quiet_error(options),
                HasSubstr("images of one well (B0 P1) would be trained on and held out"));
  }
  const TempDir unknown;  // images without a well are of none, and not of one
  write_sites(unknown,
              "image,label,group,plate,well\na.png,x,1,P1,\nb.png,y,1,P1,\nc.png,x,2,P1,\nd.png,y,2,P1,\n");
  TrainOptions grouped = options_for(unknown.path());
  grouped.val_group = {"1"};
  EXPECT_THAT(load_training_data(grouped).train, ElementsAre(2, 3));

  const TempDir dir;  // the name of a well alone may be that of another plate's
  write_sites(dir, "image,label,batch,well\na.png,x,1,B1\nb.png,y,1,B2\nc.png,x,2,B1\nd.png,y,2,B2\n");
  TrainOptions options = options_for(dir.path());
  options.group = "batch";
  options.val_group = {"1"};
  EXPECT_THAT(load_training_data(options).validation, ElementsAre(0, 1));
}

TEST(TrainingData, NamesOfWellsAloneAreNoWells) {
  const TempDir dir;  // cells of two wells, of who knows how many plates
  std::string rows;
  for (int i = 0; i < 16; ++i)
    rows += fmt::format("{}.png,c{},B{}\n", static_cast<char>('a' + i), i % 2, i / 8);
  write_sites(dir, "image,label,well\n" + rows);
  EXPECT_THAT(load_training_data(options_for(dir.path())).validation, SizeIs(3));
  // With plates they are: two wells, of which a quarter is none.
  rows.clear();
  for (int i = 0; i < 16; ++i)
    rows += fmt::format("{}.png,c{},B{},P1\n", static_cast<char>('a' + i), i / 8, i / 8);
  write_sites(dir, "image,label,well,plate\n" + rows);
  EXPECT_THAT(quiet_error(options_for(dir.path())),
              HasSubstr("20% of 16 images in whole wells is none to hold out"));
  rows.clear();
  for (int i = 0; i < 16; ++i)
    rows += fmt::format("{}.png,c{},B{},P1,{}\n", static_cast<char>('a' + i), i / 8, i / 8,
                        i % 2 == 0 ? "train" : "val");
  write_sites(dir, "image,label,well,plate,split\n" + rows);
  EXPECT_THAT(quiet_error(options_for(dir.path())),
              HasSubstr("each training image is of a well that is validated on"));
}

TEST(TrainingData, WhatLooksLikeAMistakeIsSaid) {
  const TempDir train, val;
  write_sites(train, "image,label,group\na.png,EMPTY,p1\nb.png,y,p1\nc.png,Empty ,p2\nd.png,y,p3\n");
  write_sites(val, "image,label,group\ne.png,EMPTY,p1\nf.png,y,p9\n");
  TrainOptions options = options_for(train.path());
  options.val = val.path().string();
  testing::internal::CaptureStderr();
  load_training_data(options);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("the classes 'EMPTY' and 'Empty ' differ in blanks or upper case alone"));
  EXPECT_THAT(
      said, HasSubstr(val.path().string() +
                      ": images of one group are in both train and val, which flatters the accuracy: p1\n"));
}

TEST(TrainingData, BesideAValidationFolderValidationImagesAreNotTrainedOn) {
  const TempDir train, val;
  write_sites(train, "image,label,split\na.png,x,train\nb.png,y,train\nc.png,x,val\n");
  write_sites(val, "image,label\na.png,x\nb.png,y\n");
  TrainOptions options = options_for(train.path());
  options.val = val.path().string();
  testing::internal::CaptureStderr();
  EXPECT_THAT(load_training_data(options).train, ElementsAre(0, 1));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("1 images of the split val are left out"));
  options.where = {"split=train,val"};
  write_sites(val, "image,label,split\na.png,x,train\nb.png,y,val\n");
  EXPECT_THAT(load_training_data(options).train, ElementsAre(0, 1, 2)) << "as --where says";
}

TEST(TrainingData, APlateOfTheSamplerIsOneOfItsExperiment) {
  const TempDir dir;
  write_sites(dir,
              "image,label,experiment,plate,split\na.png,x,E0,1,train\nb.png,y,E0,1,train\n"
              "c.png,x,E1,1,train\nd.png,y,E1,1,train\ne.png,x,E2,1,val\nf.png,y,E2,1,val\n");
  TrainOptions options = options_for(dir.path());
  options.sampler = "plate";
  EXPECT_THAT(load_training_data(options).train_domains, ElementsAre(0, 0, 1, 1));
}

TEST(TrainingData, TheSamplersDomainsAreThoseOfTheTrainingImages) {
  const TempDir dir;
  write_tiny_data(dir.path(), {.images = 20, .groups = 4});
  TrainOptions options = options_for(dir.path());
  options.val_group = {"g2"};
  EXPECT_THAT(load_training_data(options).train_domains, IsEmpty());
  options.sampler = "group";
  const TrainingData data = load_training_data(options);
  ASSERT_EQ(data.train_domains.size(), data.train.size());
  const Names groups = group_names(data.images->dataset, "group", data.train);
  for (size_t i = 0; i < groups.size(); ++i) {
    for (size_t j = 0; j < groups.size(); ++j)
      EXPECT_EQ(groups[i] == groups[j], data.train_domains[i] == data.train_domains[j]);
  }
  options.sampler = "plate";
  EXPECT_THAT(quiet_error(options), HasSubstr("has no column 'plate'"));
}

// A batch is of one domain, and batch norm needs two images.
TEST(TrainingData, ImagesThatAreAloneInTheirDomainAreLeftOut) {
  const TempDir dir;
  write_tiny_data(dir.path(), {.images = 12, .groups = 4});
  std::string table = test::read_file(dir / "labels.csv");
  table.replace(table.find("i1.png,"), table.find('\n', table.find("i1.png,")) - table.find("i1.png,"),
                "i1.png,c1,alone");
  dir.write("labels.csv", table);
  TrainOptions options = options_for(dir.path());
  options.val_group = {"g2"};
  options.sampler = "group";
  testing::internal::CaptureStderr();
  const TrainingData data = load_training_data(options);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("1 training images are left out, each the only one of its group"));
  EXPECT_EQ(data.train.size(), 9U);
  EXPECT_EQ(data.train_labels.size(), 9U);
  EXPECT_EQ(data.train_domains.size(), 9U);
  dir.write("labels.csv", "image,label,group\ni0.png,c0,a\ni1.png,c1,b\ni2.png,c0,g2\ni3.png,c1,g2\n");
  EXPECT_THAT(quiet_error(options), HasSubstr("each training image is the only one of its group"));
}

TEST(TrainingData, NamedGroupsAreHeldOut) {
  const TempDir dir;
  write_tiny_data(dir.path());
  TrainOptions options = options_for(dir.path());
  options.val_group = {"g3", "g1"};
  TrainingData data = load_training_data(options);
  EXPECT_THAT(values_of(data.images->dataset, "group", data.validation), ElementsAre("g1", "g3"));
  EXPECT_THAT(values_of(data.images->dataset, "group", data.train), ElementsAre("g0", "g2"));
}

TEST(TrainingData, NamedGroupsComeBeforeTheOwnSplit) {
  const TempDir dir;
  write_sites(
      dir, "image,label,group,split\na.png,x,p1,train\nb.png,y,p1,train\nc.png,x,p2,val\nd.png,y,p2,train\n");
  TrainOptions options = options_for(dir.path());
  EXPECT_TRUE(load_training_data(options).own_split);
  options.val_group = {"p1"};
  const TrainingData data = load_training_data(options);
  EXPECT_FALSE(data.own_split);
  EXPECT_THAT(data.validation, ElementsAre(0, 1));
}

TEST(TrainingData, AnotherSeedDrawsAnotherSplit) {
  const TempDir dir;
  TrainOptions options = options_for(write_tiny_data(dir.path(), {.groups = 0}));
  const std::vector<int64_t> drawn = load_training_data(options).validation;
  EXPECT_EQ(load_training_data(options).validation, drawn);
  options.seed = 1;
  EXPECT_NE(load_training_data(options).validation, drawn);
}

TEST(TrainingData, AnImageThatIsLostForAWhileMakesNoOtherRun) {
  const TempDir dir;
  TrainOptions options = options_for(write_tiny_data(dir.path()));
  options.val_group = {"g1"};
  options.max_missing = 0.1;
  const TrainingData whole = load_training_data(options);
  for (const int64_t lost : {whole.train.front(), whole.validation.front()})
    std::filesystem::remove(dir / fmt::format("i{}.png", lost));
  testing::internal::CaptureStderr();
  const TrainingData part = load_training_data(options);
  testing::internal::GetCapturedStderr();
  EXPECT_THAT(part.train, SizeIs(17));
  EXPECT_THAT(part.validation, SizeIs(5));
  EXPECT_EQ(part.images_fingerprint, whole.images_fingerprint);
  EXPECT_EQ(part.validation_fingerprint, whole.validation_fingerprint);
}

TEST(TrainingData, OtherValidationImagesMakeAnotherRun) {
  const TempDir dir, val;
  write_sites(dir, "image,label,group,plate\na.png,x,1,2\nb.png,y,1,2\nc.png,x,2,1\nd.png,y,2,1\n");
  TrainOptions options = options_for(dir.path());
  std::set<std::string> seen;
  for (const std::string column : {"group", "plate"}) {
    options.group = column;
    for (const std::string value : {"1", "2"}) {
      options.val_group = {value};
      EXPECT_TRUE(seen.insert(load_training_data(options).validation_fingerprint).second) << column << value;
    }
  }
  options.val_group = {};
  options.val = val.path().string();
  for (const std::string rows : {"e.png,x\nf.png,y\n", "e.png,x\ng.png,y\n"}) {
    write_sites(val, "image,label\n" + rows);
    EXPECT_TRUE(seen.insert(load_training_data(options).validation_fingerprint).second) << rows;
  }
}

TEST(TrainingData, AnotherColumnMayBeTheLabelOrTheGroup) {
  const TempDir dir;
  write_tiny_data(dir.path());
  TrainOptions options = options_for(dir.path());
  options.label = "group";
  options.group = "label";
  options.val_group = {"c0"};
  TrainingData data = load_training_data(options);
  EXPECT_THAT(data.classes, ElementsAre("g0", "g1", "g2", "g3"));
  EXPECT_THAT(values_of(data.images->dataset, "label", data.validation), ElementsAre("c0"));
}

TEST(TrainingData, WithoutGroupsImagesOfEveryClassAreHeldOut) {
  const TempDir dir;
  write_tiny_data(dir.path(), {.images = 40, .classes = 4, .groups = 0});
  TrainingData data = load_training_data(options_for(dir.path()));
  EXPECT_THAT(data.validation, SizeIs(8));
  EXPECT_THAT(values_of(data.images->dataset, "label", data.validation), SizeIs(4));
}

TEST(TrainingData, TheDatasetsOwnSplitIsTakenAndItsTestImagesAreLeftOut) {
  const TempDir dir;
  write_sites(dir,
              "image,label,split\na.png,x,train\nb.png,y,train\nc.png,x,val\nd.png,y,val\ne.png,x,test\n"
              "f.png,z,test\n");
  testing::internal::CaptureStderr();
  TrainingData data = load_training_data(options_for(dir.path()));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("taking the 4 of 6 images of split train and val"));
  EXPECT_TRUE(data.own_split);
  EXPECT_THAT(data.classes, ElementsAre("x", "y"));
  EXPECT_THAT(data.train, SizeIs(2));
  EXPECT_THAT(values_of(data.images->dataset, "split", data.validation), ElementsAre("val"));
}

TEST(TrainingData, SplitsMayHaveTheirOtherNames) {
  const TempDir dir;
  write_sites(dir,
              "image,label,split\na.png,x,Training\nb.png,y,train\nc.png,x,valid\nd.png,y,validation\ne.png,"
              "x,testing\n"
              "f.png,z,test\n");
  testing::internal::CaptureStderr();
  TrainingData data = load_training_data(options_for(dir.path()));
  testing::internal::GetCapturedStderr();
  EXPECT_TRUE(data.own_split);
  EXPECT_THAT(data.train, ElementsAre(0, 1));
  EXPECT_THAT(data.validation, ElementsAre(2, 3));
}

TEST(TrainingData, FoldersOfSplitsMayHaveTheirOtherNames) {
  const TempDir dir;
  for (const char* form : {"labels.csv", "class folders"}) {
    const std::filesystem::path root = dir / form;
    int index = 0;
    for (const char* split : {"training", "valid", "Test"}) {
      if (std::string_view(form) == "labels.csv") {
        write_tiny_data(root / split, {.images = 4});
        continue;
      }
      for (const char* name : {"x", "y"}) {
        std::filesystem::create_directories(root / split / name);
        write_png(root / split / name / "a.png", test::tiny_image({}, ++index));
      }
    }
    testing::internal::CaptureStderr();
    TrainingData data = load_training_data(options_for(root));
    testing::internal::GetCapturedStderr();
    EXPECT_TRUE(data.own_split) << form;
    EXPECT_THAT(values_of(data.images->dataset, "split", data.train), ElementsAre("training"));
    EXPECT_THAT(values_of(data.images->dataset, "split", data.validation), ElementsAre("valid"));
  }
}

TEST(TrainingData, AGroupOnBothSidesOfTheOwnSplitIsNamed) {
  const TempDir dir;
  write_sites(dir,
              "image,label,group,split\na.png,x,p1,train\nb.png,y,p2,train\nc.png,x,p2,val\nd.png,y,p3,val\n"
              "e.png,x,p1,test\n");
  testing::internal::CaptureStderr();
  load_training_data(options_for(dir.path()));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("images of one group are in both train and val, which flatters the accuracy: p2\n"));
}

TEST(TrainingData, AClassFolderWithoutPicturesIsNamed) {
  const TempDir dir;
  for (const char* name : {"x", "y"}) {
    std::filesystem::create_directories(dir / name);
    for (int i = 0; i < 5; ++i) write_png(dir / name / fmt::format("{}.png", i), test::tiny_image({}, i));
  }
  dir.write("z/a.gif", "no TIFF");
  testing::internal::CaptureStderr();
  EXPECT_THAT(load_training_data(options_for(dir.path())).classes, ElementsAre("x", "y"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("warning: " + (dir / "z").string() + ": holds no PNG, JPEG, BMP or TIFF image"));
}

TEST(TrainingData, AFilterOnTheSplitTakesOtherImages) {
  const TempDir dir;
  write_sites(dir,
              "image,label,split\na.png,x,train\nb.png,y,train\nc.png,x,test\nd.png,y,test\ne.png,x,test\n"
              "f.png,y,test\n");
  TrainOptions options = options_for(dir.path());
  options.where = {"split=test"};
  options.val_fraction = 0.5;
  TrainingData data = load_training_data(options);
  EXPECT_FALSE(data.own_split);
  EXPECT_EQ(data.train.size() + data.validation.size(), 4U);
  options.where = {"split=train", "split=val"};
  EXPECT_THAT(quiet_error(options), HasSubstr("no image has split 'val'; there are train"));
}

TEST(TrainingData, AValidationFolderHasTheClassesOfTheTrainingFolder) {
  const TempDir dir;
  write_tiny_data(dir / "train");
  write_tiny_data(dir / "val", {.images = 6});
  TrainOptions options = options_for(dir / "train");
  options.val = (dir / "val").string();
  TrainingData data = load_training_data(options);
  EXPECT_THAT(data.train, SizeIs(24));
  EXPECT_THAT(data.validation, SizeIs(6));
  EXPECT_EQ(&data.validation_data(), data.validation_images.get());
  EXPECT_THAT(data.validation_labels, ElementsAre(0, 1, 0, 1, 0, 1));

  write_tiny_data(dir / "more", {.images = 6, .classes = 3});
  options.val = (dir / "more").string();
  EXPECT_THAT(quiet_error(options),
              HasSubstr("image i2.png has the label 'c2', which is no class of the model"));
  write_tiny_data(dir / "rgb", {.channels = 3});
  options.val = (dir / "rgb").string();
  EXPECT_THAT(quiet_error(options), HasSubstr("rgb: images of 3 channels, but"));
  options.val_group = {"g1"};
  EXPECT_THAT(quiet_error(options), HasSubstr("--val and --val-group"));
}

TEST(TrainingData, AValidationFolderHasDomainsOfItsOwn) {
  const TempDir dir;
  TrainOptions options = options_for(write_tiny_data(dir / "train"));
  options.val = write_tiny_data(dir / "val", {.images = 6, .groups = 2}).string();
  options.sampler = "group";
  testing::internal::CaptureStderr();
  EXPECT_THAT(load_training_data(options).validation_domains, ElementsAre(0, 0, 1, 1, 0, 0));
  options.adabn = "none";
  EXPECT_THAT(load_training_data(options).validation_domains, IsEmpty());
  testing::internal::GetCapturedStderr();
}

TEST(TrainingData, TheControlsOfAValidationFolderAreNotValidatedOn) {
  const TempDir train, val;
  const std::string rows = "image,sirna,well_type\na.png,x,treatment\nb.png,y,treatment\n";
  write_sites(train, rows);
  write_sites(val, rows + "c.png,EMPTY,negative_control\n");
  TrainOptions options = options_for(train.path());
  options.val = val.path().string();
  options.label = "sirna";
  testing::internal::CaptureStderr();
  EXPECT_THAT(load_training_data(options).validation, ElementsAre(0, 1));
  testing::internal::GetCapturedStderr();
}

TEST(TrainingData, SixteenBitImagesAreReadWithTheirWhite) {
  const TempDir dir;
  TrainOptions options = options_for(write_tiny_data(dir.path()));
  std::string rows;
  for (int y = 0; y < 16; ++y) rows += '\0' + std::string(32, '\x07');  // levels of 0x0707
  for (int i = 0; i < 24; ++i)
    dir.write(fmt::format("i{}.png", i), test::make_png({.width = 16, .height = 16, .depth = 16}, rows));
  testing::internal::CaptureStderr();
  for (const auto& [white, value] : {std::pair{65535, 7}, {4095, 112}, {1000, 255}}) {
    options.white = white;
    EXPECT_EQ(load_training_data(options).images->store->get(3).pixels[5], value) << white;
  }
  testing::internal::GetCapturedStderr();
}

TEST(TrainingData, ACropIsOfShrunkPixels) {
  const TempDir dir;
  TrainOptions options = options_for(write_tiny_data(dir.path()));
  options.crop = 8;
  options.shrink = 2;
  EXPECT_EQ(quiet_error(options), "");
  options.crop = 9;
  EXPECT_THAT(quiet_error(options), HasSubstr("is 16 x 16 pixels, smaller than the crop of 18"));
}

TEST(TrainingData, TheFingerprintOfGroupsIsOfAllThatDecidesWhoIsHeldOutOrDrawnTogether) {
  const TempDir dir;
  const std::string header = "image,label,group,split,experiment,plate,well,site,dose\n";
  const auto write = [&](const std::string& folder, const std::string& first) {
    std::string table = header + "i0.png,c0," + first + "\n";
    for (int i = 1; i < 8; ++i)
      table += fmt::format("i{0}.png,c{1},g{2},train,{3}{2},p{2},w{0},1,low\n", i, i % 2, i / 2 % 2, folder);
    write_tiny_data(dir / folder, {.images = 8});
    dir.write(folder + "/labels.csv", table);
  };
  const std::string first = "g0,train,e0,p0,w0,1,low";
  const auto of = [&](const std::string& changed, const std::string& changed_val,
                      const std::string& val_label) {
    write("data", changed);
    write("val", changed_val);
    const std::string table = test::read_file(dir / "val/labels.csv");
    dir.write("val/labels.csv", std::regex_replace(table, std::regex("i0.png,c0"), "i0.png," + val_label));
    TrainOptions options = options_for(dir / "data");
    options.val = (dir / "val").string();
    testing::internal::CaptureStderr();
    const std::string result = load_training_data(options).groups_fingerprint;
    testing::internal::GetCapturedStderr();
    return result;
  };
  const std::string plain = of(first, first, "c0");
  EXPECT_EQ(of("g0,train,e0,p0,w0,1,high", "g0,train,e0,p0,w0,1,high", "c0"), plain)
      << "a dose decides nothing";
  for (const char* changed :
       {"g1,train,e0,p0,w0,1,low", "g0,,e0,p0,w0,1,low", "g0,train,e1,p0,w0,1,low", "g0,train,e0,p1,w0,1,low",
        "g0,train,e0,p0,w9,1,low", "g0,train,e0,p0,w0,2,low"}) {
    EXPECT_NE(of(changed, first, "c0"), plain) << changed;
    EXPECT_NE(of(first, changed, "c0"), plain) << changed;
  }
  EXPECT_NE(of(first, first, "c1"), plain);
  EXPECT_NE(of(first, first, ""), plain);
}

// A loader without a cache meets them later: what is drawn must not depend on when they are found.
TEST(TrainingData, UnreadableImagesKeepTheirPlaces) {
  const TempDir dir;
  write_tiny_data(dir.path(), {.images = 40});
  dir.write("i3.png", "text");
  dir.write("i8.png", "text");
  testing::internal::CaptureStderr();
  TrainingData data = load_training_data(options_for(dir.path()));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("i3.png: is not a PNG"));
  EXPECT_EQ(data.train.size() + data.validation.size(), 40U);
  const auto readable = data.images->readable(data.train), validated = data.images->readable(data.validation);
  EXPECT_EQ(readable.size() + validated.size(), 38U);
  for (const auto* samples : {&readable, &validated})
    EXPECT_THAT(*samples, Each(testing::AllOf(testing::Ne(3), testing::Ne(8))));
  for (size_t i = 0; i < data.train.size(); ++i) EXPECT_EQ(data.train_labels[i], data.train[i] % 2);
}

/// Four treatment wells, two controls and a test well, all of six grey channels.
void write_kaggle_pictures(const TempDir& dir) {
  const std::string header = "id_code,experiment,plate,well";
  std::string train = header + ",sirna\n";
  const Image image = test::tiny_image({}, 1);
  const auto add_pictures = [&](const std::string& folder, const std::string& well) {
    std::filesystem::create_directories(dir / folder);
    for (int channel = 1; channel <= 6; ++channel) {
      for (int site = 1; site <= 2; ++site)
        write_png(dir / fmt::format("{}/{}_s{}_w{}.png", folder, well, site, channel), image);
    }
  };
  for (int i = 1; i <= 4; ++i) {
    train += fmt::format("RPE-0{0}_1_C03,RPE-0{0},1,C03,sirna_{1}\n", i, i % 2);
    add_pictures(fmt::format("train/RPE-0{}/Plate1", i), "C03");
  }
  dir.write("train.csv", train);
  dir.write("train_controls.csv",
            header +
                ",sirna,well_type\nRPE-01_1_B02,RPE-01,1,B02,UNTREATED,negative_control\n"
                "RPE-02_1_B02,RPE-02,1,B02,sirna_9,positive_control\n");
  add_pictures("train/RPE-01/Plate1", "B02");
  add_pictures("train/RPE-02/Plate1", "B02");
  dir.write("test.csv", header + "\nRPE-09_1_C03,RPE-09,1,C03\n");
  add_pictures("test/RPE-09/Plate1", "C03");
}

TEST(TrainingData, OfRxRx1TheTreatmentWellsOfTheTrainingSetAreLearned) {
  const TempDir dir;
  write_kaggle_pictures(dir);
  testing::internal::CaptureStderr();
  TrainingData data = load_training_data(options_for(dir.path()));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("images of well_type treatment; --where well_type=..."));
  EXPECT_EQ(data.label_column, "sirna");
  EXPECT_EQ(data.group_column, "experiment");
  EXPECT_THAT(data.classes, ElementsAre("sirna_0", "sirna_1"));
  EXPECT_EQ(data.train.size() + data.validation.size(), 8U);
  EXPECT_THAT(values_of(data.images->dataset, "split", data.train), ElementsAre("train"));
  EXPECT_THAT(values_of(data.images->dataset, "well_type", data.train), ElementsAre("treatment"));
  EXPECT_EQ(data.images->store->reference().channels, 6);

  TrainOptions options = options_for(dir.path());
  options.where = {"well_type=positive_control,treatment"};
  testing::internal::CaptureStderr();
  EXPECT_THAT(load_training_data(options).classes, ElementsAre("sirna_0", "sirna_1", "sirna_9"));
  options.where.clear();
  options.label = "cell_type";
  const std::string message = message_of<Error>([&] { load_training_data(options); });
  testing::internal::GetCapturedStderr();
  EXPECT_THAT(message, HasSubstr("cell_type has only 'RPE'"));
}

TEST(TrainingData, TheRealRxRx1SampleGivesSixteenSitesOfFourCellTypes) {
  CYTOGRAD_NEEDS_SAMPLES();
  TrainOptions options = options_for(test::samples_folder() / "rxrx1");
  options.label = "cell_type";
  options.group = "plate";
  options.val_group = {"4"};
  options.max_missing = 1.0;
  testing::internal::CaptureStderr();
  TrainingData data = load_training_data(options);
  testing::internal::GetCapturedStderr();
  EXPECT_THAT(data.train, SizeIs(12));
  EXPECT_THAT(data.validation, SizeIs(4));
  EXPECT_THAT(data.classes, ElementsAre("HEPG2", "HUVEC", "RPE", "U2OS"));
  EXPECT_THAT(values_of(data.images->dataset, "split", data.train), ElementsAre("train"));
  options.max_missing = 0.05;
  EXPECT_THAT(quiet_error(options), HasSubstr("are missing or unreadable, more than the 5% allowed"));
}

TEST(LabelSamples, AnEmptyLabelIsMinusOne) {
  const TempDir dir;
  write_sites(dir, "image,label\na.png,x\nb.png,\nc.png,y\n");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(label_samples(dataset, "label", {"y", "x"}), ElementsAre(1, -1, 0));
  EXPECT_THAT(message_of<Error>([&] { label_samples(dataset, "label", {"y"}); }),
              HasSubstr("a.png has the label 'x'"));
  EXPECT_THAT(group_names(dataset, "", {0, 1}), IsEmpty());
  EXPECT_THAT(group_names(dataset, "image", {2, 0}), ElementsAre("c.png", "a.png"));
}

TEST(OpenFiltered, AnEmptyValueKeepsImagesWithoutOne) {
  const TempDir dir;
  write_sites(dir, "image,label\na.png,x\nb.png,\nc.png,y\n");
  EXPECT_THAT(open_filtered(dir.path().string(), {"label="}).samples, SizeIs(1));
  EXPECT_THAT(open_filtered(dir.path().string(), {"label=x,y"}).samples, SizeIs(2));
  EXPECT_THAT(message_of<Error>([&] { open_filtered(dir.path().string(), {"label"}); }),
              HasSubstr("--where label: expected COLUMN=VALUE"));
}

}  // namespace
}  // namespace cytograd
