#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "engine/check.h"
#include "tests/support/datasets.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

using test::error_of;
using test::missing;
using test::names;
using test::TempDir;
using test::values;
using test::write_kaggle;
using test::write_site;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(LabelsCsv, ImagesLieInImagesOrBesideTheTableAndAllColumnsAreKept) {
  const TempDir dir;
  dir.write("labels.csv",
            "image,label,group,stain\na10.png,x,p1,dapi\nsub/a2.png,y,p2,\"a,b\"\nbeside.jpg,x,p1,\n");
  for (const char* file : {"images/a10.png", "images/sub/a2.png", "beside.jpg"}) dir.write(file);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::labels_csv);
  EXPECT_THAT(names(dataset.samples), ElementsAre("a10.png", "beside.jpg", "sub/a2.png"));
  EXPECT_THAT(dataset.samples[0].files, ElementsAre(dir / "images/a10.png"));
  EXPECT_THAT(dataset.samples[1].files, ElementsAre(dir / "beside.jpg"));
  EXPECT_THAT(dataset.columns, ElementsAre("image", "label", "group", "stain"));
  EXPECT_THAT(dataset.samples[2].values, ElementsAre("sub/a2.png", "y", "p2", "a,b"));
  EXPECT_EQ(dataset.label_column, "label");
  EXPECT_EQ(dataset.group_column, "group");
}

TEST(LabelsCsv, AnImageMayBeOneFileAChannel) {
  const TempDir dir;
  dir.write("labels.csv", "image,label\nw1.png;w2.png,x\nw1.png;w3.png,y\n");
  dir.write("w1.png");
  dir.write("w2.png");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("w1.png;w2.png"));
  EXPECT_THAT(dataset.samples[0].files, ElementsAre(dir / "w1.png", dir / "w2.png"));
  EXPECT_THAT(missing(dataset), ElementsAre("w3.png: no such file"));
  EXPECT_EQ(dataset.group_column, "");
}

TEST(LabelsCsv, OneFileForAllChannelsIsAnImage) {
  const TempDir dir;
  dir.write("labels.csv", "image,label\na.png;a.png;a.png,x\n");
  dir.write("a.png");
  EXPECT_THAT(open_dataset(dir.path()).samples, SizeIs(1));
}

TEST(LabelsCsv, ALabelThatOnePartHasIsWantedOfAll) {
  const TempDir dir;
  dir.write("train/labels.csv", "image,label\na.png,x\n");
  dir.write("val/labels.csv", "image,Label\na.png,x\n");
  EXPECT_THAT(error_of(dir), HasSubstr("val/labels.csv: lacks the column 'label'; it has 'image', 'Label'"));
}

TEST(LabelsCsv, FoldersThatCannotBeEnteredHaveNoImages) {
  const TempDir dir;
  dir.write("labels.csv", "image,label\na.png,x\nloop/b.png,y\n");
  dir.write("a.png");
  std::filesystem::create_symlink("loop", dir / "loop");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("a.png"));
  EXPECT_EQ(dataset.named_samples, 2);
}

TEST(LabelsCsv, NeedsNoLabelsAndPassesOverEmptiedRows) {
  const TempDir dir;
  dir.write("labels.csv", "image,dose\na.png,1\n,\n,\n");
  dir.write("a.png");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("a.png"));
  EXPECT_EQ(dataset.named_samples, 1);
  EXPECT_EQ(dataset.label_column, "");
}

TEST(LabelsCsv, TrainValAndTestFoldersGiveASplit) {
  const TempDir dir;
  dir.write("train/labels.csv", "image,label,group\na.png,x,g\n");
  dir.write("test/labels.csv", "label,image\ny,a.png\n");
  dir.write("train/images/a.png");
  dir.write("test/a.png");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("test/a.png", "train/a.png"));
  EXPECT_THAT(dataset.columns, ElementsAre("image", "label", "group", "split"));
  EXPECT_THAT(dataset.samples[0].values, ElementsAre("a.png", "y", "", "test"));
  EXPECT_THAT(dataset.samples[1].values, ElementsAre("a.png", "x", "g", "train"));
}

TEST(LabelsCsv, AFolderOfASplitHasNoColumnOfSplits) {
  const TempDir dir;
  dir.write("train/labels.csv", "image,label,split\na.png,x,test\n");
  dir.write("train/a.png");
  EXPECT_THAT(error_of(dir),
              HasSubstr("train/labels.csv: has a column split, but its folder tells the split"));
}

TEST(LabelsCsv, ImagesOutsideOfTheDatasetAreErrors) {
  for (const char* image : {"/etc/passwd", "../a.png", "sub/../../a.png", "a.png;../b.png"}) {
    const TempDir dir;
    dir.write("labels.csv", "image,label\n" + std::string(image) + ",x\n");
    EXPECT_THAT(error_of(dir), HasSubstr("labels.csv:2: the image '")) << image;
  }
  const TempDir dir;
  dir.write("labels.csv", "image,label\nsub/../a.png,x\n");
  dir.write("a.png");
  EXPECT_THAT(open_dataset(dir.path()).samples, SizeIs(1)) << "but dots that stay inside are no harm";
}

TEST(LabelsCsv, RowsThatNameNoImageOrOneTwiceAreErrors) {
  const auto error_of_table = [](const std::string& text) {
    const TempDir dir;
    dir.write("labels.csv", text);
    return error_of(dir);
  };
  EXPECT_THAT(error_of_table("image,label\n,x\n"), HasSubstr("labels.csv:2: '' names no image"));
  EXPECT_THAT(error_of_table("image,label\na.png;,x\n"), HasSubstr("labels.csv:2: 'a.png;' names no image"));
  EXPECT_THAT(error_of_table("image,label\na,x\nb,y\na,y\n"),
              AllOf(HasSubstr("labels.csv:4: 'a' is there already"), HasSubstr("labels.csv:2")));
  EXPECT_THAT(error_of_table("file,label\na,x\n"), HasSubstr("lacks the column 'image'"));
  EXPECT_THAT(error_of_table("image;label\na;x\n"),
              HasSubstr("labels.csv: its columns are separated by semicolons or tabs"));
  EXPECT_THAT(error_of_table("\"image\";\"label\"\na;x\n"),
              HasSubstr("labels.csv:1: a semicolon or tab behind a closing quote"));
  EXPECT_THAT(error_of_table("image,label\na;b;./a,x\n"),
              HasSubstr("labels.csv:2: 'a;b;./a' has one file for two of its channels"));
  EXPECT_THAT(error_of_table("image,label\na;b;c;d;e;f;g;h;i,x\n"),
              HasSubstr("labels.csv:2: an image of 9 files, one a channel; up to 8 can be"));
  EXPECT_THAT(error_of_table("image,label\na;b,x\nb;a,x\n"),
              HasSubstr("labels.csv:3: 'b;a' is there already"));
  EXPECT_THAT(error_of_table("image,label\n"), HasSubstr("its tables name no image"));
}

TEST(ClassFolders, ATableOfAnotherKindBesideThemIsNobodysMatter) {
  const TempDir dir;
  dir.write("a/1.png");
  dir.write("b/2.png");
  for (const char* table : {"note,note\n", "", "\xFF\xFEn\0o\0", "a\"b,c\n", "\0\1\2"}) {
    for (const char* name : {"metadata.csv", "train.csv"}) dir.write(name, table);
    EXPECT_EQ(open_dataset(dir.path()).layout, Layout::class_folders) << table;
  }
}

TEST(ClassFolders, AFolderIsAClass) {
  const TempDir dir;
  for (const char* file :
       {"mitosis/a10.png", "mitosis/a2.PNG", "mitosis/plate1/b.jpeg", "apoptosis/a.bmp",
        "apoptosis/notes.txt", "apoptosis/.hidden.png", "empty/readme", "__MACOSX/x/a.png"})
    dir.write(file);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::class_folders);
  EXPECT_THAT(names(dataset.samples),
              ElementsAre("apoptosis/a.bmp", "mitosis/a2.PNG", "mitosis/a10.png", "mitosis/plate1/b.jpeg"));
  EXPECT_THAT(dataset.columns, ElementsAre("label", "folder"));
  EXPECT_THAT(values(dataset, dataset.label_column),
              ElementsAre("apoptosis", "mitosis", "mitosis", "mitosis"));
  EXPECT_THAT(values(dataset, "folder"), ElementsAre("", "", "", "plate1"));
  EXPECT_EQ(dataset.group_column, "");
}

/// What `act` returns, done by a user who may enter no folder that is closed to others.
template <typename Act>
auto as_nobody(const Act& act) {
  struct Nobody {
    bool is_root = geteuid() == 0;
    Nobody() { EXPECT_EQ(is_root ? seteuid(65534) : 0, 0); }
    ~Nobody() { EXPECT_EQ(is_root ? seteuid(0) : 0, 0); }
  } nobody;
  return act();
}

TEST(ClassFolders, ADisksLostAndFoundIsPassedOver) {
  const TempDir classes, plain;
  for (const char* file : {"a/1.png", "b/3.png", "lost+found/4.png"}) classes.write(file);
  for (const char* file : {"1.png", "lost+found/2.png"}) plain.write(file);
  for (const TempDir* dir : {&classes, &plain}) {
    fs::permissions(dir->path(), fs::perms::all);
    fs::permissions(*dir / "lost+found", fs::perms::none);
  }
  EXPECT_THAT(names(as_nobody([&] { return open_dataset(classes.path()); }).samples),
              ElementsAre("a/1.png", "b/3.png"));
  EXPECT_THAT(names(as_nobody([&] { return open_dataset(plain.path()); }).samples), ElementsAre("1.png"));
  for (const TempDir* dir : {&classes, &plain}) fs::permissions(*dir / "lost+found", fs::perms::owner_all);
}

// A class that is passed over, or a split, would change what is learned.
TEST(ClassFolders, AnyOtherThatMayNotBeListedIsAnError) {
  for (const char* closed : {"b", "val", "val/b"}) {
    const TempDir dir;
    const bool has_splits = std::string_view(closed).starts_with("val");
    for (const char* file : {"a/1.png", "b/2.png"})
      for (const char* split : {"train/", "val/"}) dir.write(has_splits ? std::string(split) + file : file);
    fs::permissions(dir.path(), fs::perms::all);
    fs::permissions(dir / closed, fs::perms::none);
    EXPECT_THAT(as_nobody([&] { return error_of(dir); }),
                AllOf(HasSubstr(closed), HasSubstr(": Permission denied")));
    fs::permissions(dir / closed, fs::perms::owner_all);
  }
}

TEST(ClassFolders, FoldersThatRecurInClassesAreNamed) {
  const TempDir dir;
  for (const char* plate : {"P1", "P2"})
    for (const char* name : {"A/1.png", "B/1.png"}) dir.write(std::string(plate) + "/" + name);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(values(dataset, "label"), ElementsAre("P1", "P1", "P2", "P2"));
  EXPECT_THAT(values(dataset, "folder"), ElementsAre("A", "B", "A", "B"));
  EXPECT_THAT(dataset.warnings, ElementsAre(AllOf(HasSubstr("the classes are P1, P2;"),
                                                  HasSubstr("the folders A, B in them are no classes"))));
  dir.write("P1/C/1.png");
  std::filesystem::remove_all(dir / "P2");
  dir.write("P3/D/1.png");
  EXPECT_THAT(open_dataset(dir.path()).warnings, IsEmpty()) << "none is in two classes";
}

TEST(ClassFolders, LinksIntoTheClassItselfAreLeftOut) {
  const TempDir dir;
  for (const char* file : {"a/1.png", "a/in/2.png", "b/3.png"}) dir.write(file);
  std::filesystem::create_directory_symlink(".", dir / "a/self");
  std::filesystem::create_directory_symlink("../a", dir / "a/up");
  std::filesystem::create_directory_symlink("in", dir / "a/again");
  EXPECT_EQ(open_dataset(dir.path()).samples.size(), 3U);
  dir.write("a/.v1/4.png");  // hidden: what a link to it shows is there once
  std::filesystem::create_directory_symlink(".v1", dir / "a/current");
  EXPECT_EQ(open_dataset(dir.path()).samples.size(), 4U);
}

TEST(ClassFolders, TrainValAndTestFoldersGiveASplit) {
  const TempDir dir;
  for (const char* file : {"train/x/a.png", "train/y/a.png", "val/x/a.png"}) dir.write(file);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("train/x/a.png", "train/y/a.png", "val/x/a.png"));
  EXPECT_THAT(values(dataset, "label"), ElementsAre("x", "y", "x"));
  EXPECT_THAT(values(dataset, "split"), ElementsAre("train", "train", "val"));
  EXPECT_THAT(dataset.columns, ElementsAre("label", "split")) << "no image lies in a folder of its class";
}

TEST(ClassFolders, ImagesBesideTheFoldersAreAnError) {
  const TempDir dir;
  dir.write("x/a.png");
  dir.write("b.png");
  EXPECT_THAT(error_of(dir), AllOf(HasSubstr("one folder a class"), HasSubstr("b.png")));
}

TEST(ClassFolders, RxRx1WithoutItsTablesIsNotTakenForClasses) {
  const TempDir dir;
  write_site(dir, "train/U2OS-01/Plate1/B02_s1");
  EXPECT_THAT(error_of(dir), AllOf(HasSubstr("no dataset of a known layout"), HasSubstr("train.csv")));
}

TEST(PlainImages, AreSamplesWithoutColumns) {
  const TempDir dir;
  for (const char* file : {"a10.png", "a2.jpg", "notes.txt"}) dir.write(file);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::plain_images);
  EXPECT_THAT(names(dataset.samples), ElementsAre("a2.jpg", "a10.png"));
  EXPECT_THAT(dataset.columns, IsEmpty());
  EXPECT_THAT(test::message_of<Error>([&] { dataset.require_column("label"); }), HasSubstr("have no labels"));
}

TEST(OpenDataset, SaysWhatItLookedForWhereNothingIsKnown) {
  const TempDir dir;
  EXPECT_THAT(error_of(dir), HasSubstr("is an empty folder"));
  EXPECT_THAT(test::message_of<Error>([&] { open_dataset(dir.write("file")); }),
              HasSubstr("file: is not a folder"));
  EXPECT_THAT(test::message_of<Error>([&] { open_dataset(dir / "none"); }),
              HasSubstr("none: no such folder"));
  EXPECT_THAT(error_of(dir), AllOf(HasSubstr("labels.csv"), HasSubstr("metadata.csv"), HasSubstr("train.csv"),
                                   HasSubstr("one folder of"), HasSubstr("images in the folder itself")));
}

TEST(CheckMissing, AllowsTheFractionAndNamesTenOfTheRest) {
  const TempDir dir;
  std::string table = "image,label\n";
  for (int i = 0; i < 40; ++i) table += fmt::format("a{}.png,x\n", i);
  dir.write("labels.csv", table);
  for (int i = 0; i < 20; ++i) dir.write(fmt::format("a{}.png", i));
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_NO_THROW(check_missing(dataset, 0.5));
  EXPECT_THAT(test::message_of<Error>([&] { check_missing(dataset, 0.49); }),
              AllOf(HasSubstr("20 of 40 samples (50.0%)"), HasSubstr("a20.png (no such file), "),
                    HasSubstr("a29.png (no such file) and 10 more;")));
}

TEST(KeepWhere, KeepsPresentAndMissingAlike) {
  const TempDir dir;
  write_kaggle(dir);
  std::filesystem::remove(dir / "train/U2OS-01/Plate1/C9_s1_w3.png");
  std::filesystem::remove(dir / "train/U2OS-01/Plate2/B02_s1_w3.png");
  Dataset dataset = open_dataset(dir.path());
  keep_where(dataset, "plate", {"2"});
  EXPECT_THAT(names(dataset.samples), ElementsAre("U2OS-01_2_B02_s2"));
  EXPECT_THAT(missing(dataset), ElementsAre("train/U2OS-01/Plate2/B02_s1_w3.png: no such file"));
  EXPECT_EQ(dataset.named_samples, 2);
}

TEST(KeepWhere, UnknownColumnsAndValuesAreErrors) {
  const TempDir dir;
  write_kaggle(dir);
  Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(test::message_of<Error>([&] { keep_where(dataset, "batch", {"1"}); }),
              AllOf(HasSubstr("no column 'batch'"), HasSubstr("experiment, plate")));
  EXPECT_THAT(test::message_of<Error>([&] {
                keep_where(dataset, "plate", {"1", "3"});
              }),
              HasSubstr("no image has plate '3'; there are 1, 2"));
  EXPECT_THAT(dataset.samples, SizeIs(6)) << "and nothing is lost";
}

TEST(RealData, RxRx1) {
  CYTOGRAD_NEEDS_SAMPLES();
  Dataset dataset = open_dataset(test::samples_folder() / "rxrx1");
  EXPECT_EQ(dataset.layout, Layout::kaggle_rxrx1);
  EXPECT_EQ(dataset.named_samples, 2 * (36517 + 19899 + 4097 + 2246));
  EXPECT_THAT(dataset.samples, SizeIs(18)) << "site 1 of 18 wells";
  std::map<std::string, int64_t> reasons;
  for (const MissingImage& one : dataset.missing) ++reasons[one.reason];
  EXPECT_EQ(reasons["no such file"], 18 * 2) << "w5 and w6 of site 2";
  EXPECT_EQ(reasons["no image of this site"], dataset.named_samples - 36);
  keep_where(dataset, "site", {"1"});
  EXPECT_EQ(dataset.named_samples, 36517 + 19899 + 4097 + 2246);
  EXPECT_THROW(check_missing(dataset, 0.05), Error);
}

TEST(RealData, MitoCheck) {
  CYTOGRAD_NEEDS_SAMPLES();
  const Dataset dataset = open_dataset(test::samples_folder() / "mitocheck");
  EXPECT_EQ(dataset.layout, Layout::labels_csv);
  EXPECT_THAT(dataset.samples, SizeIs(2194));
  EXPECT_THAT(dataset.missing, IsEmpty());
  EXPECT_NO_THROW(check_missing(dataset, 0.0));
}

}  // namespace
}  // namespace cytograd
