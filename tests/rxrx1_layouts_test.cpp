// The three layouts of RxRx1; the others are in dataset_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "engine/check.h"
#include "tests/support/datasets.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

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

TEST(Kaggle, ASampleIsASiteWithItsSixChannels) {
  const TempDir dir;
  write_kaggle(dir);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::kaggle_rxrx1);
  EXPECT_THAT(names(dataset.samples), ElementsAre("U2OS-01_1_C9_s1", "U2OS-01_1_C9_s2", "U2OS-01_1_C10_s1",
                                                  "U2OS-01_1_C10_s2", "U2OS-01_2_B02_s1", "U2OS-01_2_B02_s2"))
      << "in natural order, whatever the order of the rows";
  EXPECT_EQ(dataset.named_samples, 6);
  EXPECT_THAT(dataset.missing, IsEmpty());
  ASSERT_THAT(dataset.samples[2].files, SizeIs(6));
  EXPECT_EQ(dataset.samples[2].files[5], dir / "train/U2OS-01/Plate1/C10_s1_w6.png");
}

TEST(Kaggle, ColumnsComeFromTheTablesAndTheNames) {
  const TempDir dir;
  write_kaggle(dir);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(dataset.columns, ElementsAre("experiment", "plate", "experiment_plate", "well", "site",
                                           "cell_type", "sirna", "well_type", "id_code", "split"));
  EXPECT_THAT(dataset.samples[3].values, ElementsAre("U2OS-01", "1", "U2OS-01_Plate1", "C10", "2", "U2OS",
                                                     "sirna_7", "treatment", "U2OS-01_1_C10", "train"));
  EXPECT_THAT(dataset.samples[4].values,
              ElementsAre("U2OS-01", "2", "U2OS-01_Plate2", "B02", "1", "U2OS", "UNTREATED",
                          "negative_control", "U2OS-01_2_B02", "train"));
  EXPECT_EQ(dataset.label_column, "sirna");
  EXPECT_EQ(dataset.group_column, "experiment");
}

TEST(Kaggle, TestWellsHaveNoLabel) {
  const TempDir dir;
  dir.write("test.csv", "id_code,experiment,plate,well\nHEPG2-08_1_B03,HEPG2-08,1,B03\n");
  write_site(dir, "test/HEPG2-08/Plate1/B03_s2");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(values(dataset, "sirna"), ElementsAre(""));
  EXPECT_THAT(values(dataset, "split"), ElementsAre("test"));
}

TEST(Kaggle, WhatIsMissingIsListedAFileOrAWholeSiteAndSkipped) {
  const TempDir dir;
  write_kaggle(dir);
  std::filesystem::remove(dir / "train/U2OS-01/Plate1/C9_s1_w3.png");
  std::filesystem::remove(dir / "train/U2OS-01/Plate1/C9_s1_w5.png");
  std::filesystem::remove_all(dir / "train/U2OS-01/Plate2");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_THAT(names(dataset.samples), ElementsAre("U2OS-01_1_C9_s2", "U2OS-01_1_C10_s1", "U2OS-01_1_C10_s2"));
  EXPECT_THAT(names(dataset.incomplete),
              ElementsAre("U2OS-01_1_C9_s1", "U2OS-01_2_B02_s1", "U2OS-01_2_B02_s2"));
  EXPECT_THAT(missing(dataset), ElementsAre("train/U2OS-01/Plate1/C9_s1_w3.png: no such file",
                                            "train/U2OS-01/Plate1/C9_s1_w5.png: no such file",
                                            "train/U2OS-01/Plate2/B02_s1_w*.png: no image of this site",
                                            "train/U2OS-01/Plate2/B02_s2_w*.png: no image of this site"));
  EXPECT_EQ(dataset.named_samples, 6);
}

TEST(Kaggle, ImagesThatNoTableNamesAreIgnored) {
  const TempDir dir;
  write_kaggle(dir);
  write_site(dir, "train/U2OS-01/Plate1/P24_s1");
  write_site(dir, "train/RPE-01/Plate1/B02_s1");
  EXPECT_THAT(open_dataset(dir.path()).samples, SizeIs(6));
}

TEST(Kaggle, RowsThatCannotBeAreErrorsWithFileAndLine) {
  const auto error_of_row = [](const std::string& row) {
    const TempDir dir;
    dir.write("train.csv", "id_code,experiment,plate,well,sirna\nA-1_1_B02,A-1,1,B02,x\n" + row + "\n");
    return error_of(dir);
  };
  EXPECT_THAT(error_of_row("A-1_1_B02,A-1,1,B02,x"),
              AllOf(HasSubstr("train.csv:3: "), HasSubstr("train.csv:2")));
  EXPECT_THAT(error_of_row("A-1_1_B03,A-1,1,B04,x"), HasSubstr("train.csv:3: id_code is 'A-1_1_B03'"));
  EXPECT_THAT(error_of_row("../x_1_B03,../x,1,B03,x"),
              HasSubstr("train.csv:3: the experiment '../x' cannot"));
  EXPECT_THAT(error_of_row("A_1_/etc,A,1,/etc,x"), HasSubstr("train.csv:3: the well '/etc' cannot"));
  EXPECT_THAT(error_of_row("A__B02,A,,B02,x"), HasSubstr("train.csv:3: has no plate"));
  EXPECT_THAT(error_of_row("A"), HasSubstr("train.csv:3: 1 field"));
}

TEST(Kaggle, ALackingColumnIsNamed) {
  const TempDir dir;
  dir.write("train.csv", "id_code,experiment,plate\n");
  EXPECT_THAT(error_of(dir), AllOf(HasSubstr("train.csv"), HasSubstr("lacks the column 'well'")));
}

constexpr const char* kMetadata =
    "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n"
    "HUVEC-01_1_B02_1,HUVEC-01_1_B02,HUVEC,train,HUVEC-01,1,B02,1,treatment,s21721,3\n"
    "HUVEC-01_1_B02_2,HUVEC-01_1_B02,HUVEC,train,HUVEC-01,1,B02,2,treatment,s21721,3\n"
    "HUVEC-02_1_B02_1,HUVEC-02_1_B02,HUVEC,test,HUVEC-02,1,B02,1,negative_control,EMPTY,1138\n";

TEST(RxrxAi, ReadsMetadataWithOneRowASite) {
  const TempDir dir;
  dir.write("metadata.csv", kMetadata);
  write_site(dir, "images/HUVEC-01/Plate1/B02_s1");
  write_site(dir, "images/HUVEC-02/Plate1/B02_s1");
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::rxrx_ai);
  EXPECT_THAT(names(dataset.samples), ElementsAre("HUVEC-01_1_B02_s1", "HUVEC-02_1_B02_s1"));
  EXPECT_THAT(dataset.samples[0].files, SizeIs(6));
  EXPECT_THAT(missing(dataset), ElementsAre("images/HUVEC-01/Plate1/B02_s2_w*.png: no image of this site"));
  EXPECT_THAT(dataset.columns,
              ElementsAre("experiment", "plate", "experiment_plate", "well", "site", "cell_type", "split",
                          "site_id", "well_id", "dataset", "well_type", "sirna", "sirna_id"));
  EXPECT_THAT(values(dataset, "split"), ElementsAre("train", "test"));
  EXPECT_THAT(values(dataset, dataset.label_column), ElementsAre("s21721", "EMPTY"));
}

TEST(RxrxAi, WithoutImagesItsMetadataIsToldByItsSets) {
  const TempDir dir;
  dir.write("metadata.csv", kMetadata);
  EXPECT_EQ(open_dataset(dir.path()).layout, Layout::rxrx_ai);
  dir.write("metadata.csv",
            std::string(kMetadata) + "RPE-01_1_B02_2,RPE-01_1_B02,RPE,val,RPE-01,1,B02,2,treatment,s1,4\n");
  EXPECT_EQ(open_dataset(dir.path()).layout, Layout::wilds_rxrx1);
}

TEST(RxrxAi, AHeaderThatCannotBeReadIsNamed) {
  const TempDir dir;
  const std::string header = "site_id,experiment,plate,plate\n";
  dir.write("metadata.csv", header);
  EXPECT_THAT(error_of(dir), HasSubstr("metadata.csv:1: two columns are named 'plate'"));
  std::string utf16 = "\xFF\xFE";
  for (const char c : header) utf16 += {c, '\0'};
  dir.write("metadata.csv", utf16);
  EXPECT_THAT(error_of(dir), HasSubstr("metadata.csv: is UTF-16 text; save it as UTF-8"));
}

TEST(Wilds, IsToldByItsImagesAndHasAFourthSplit) {
  const TempDir dir;
  dir.write("metadata.csv",
            std::string(kMetadata) + "RPE-01_1_B02_2,RPE-01_1_B02,RPE,val,RPE-01,1,B02,2,treatment,s1,4\n");
  for (const char* file :
       {"HUVEC-01/Plate1/B02_s1.png", "HUVEC-01/Plate1/B02_s2.png", "RPE-01/Plate1/B02_s2.png"})
    dir.write(std::filesystem::path("images") / file);
  const Dataset dataset = open_dataset(dir.path());
  EXPECT_EQ(dataset.layout, Layout::wilds_rxrx1);
  EXPECT_THAT(names(dataset.samples),
              ElementsAre("HUVEC-01_1_B02_s1", "HUVEC-01_1_B02_s2", "RPE-01_1_B02_s2"));
  EXPECT_THAT(values(dataset, "split"), ElementsAre("train", "id_test", "val"));
  EXPECT_THAT(values(dataset, dataset.label_column), ElementsAre("3", "3", "4"));
  EXPECT_THAT(dataset.samples[0].files, ElementsAre(dir / "images/HUVEC-01/Plate1/B02_s1.png"));
  EXPECT_THAT(missing(dataset), ElementsAre("images/HUVEC-02/Plate1/B02_s1.png: no such file"));
}

}  // namespace
}  // namespace cytograd
