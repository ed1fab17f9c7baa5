#include "data/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Samples a1, a2, ... with the columns label and group.
Dataset make(const std::vector<std::pair<std::string, std::string>>& labels_and_groups) {
  Dataset dataset;
  dataset.root = "data";
  dataset.columns = {"label", "group"};
  for (const auto& [label, group] : labels_and_groups)
    dataset.samples.push_back({"a" + std::to_string(dataset.samples.size() + 1), {"a.png"}, {label, group}});
  return dataset;
}

/// `per_class` samples of each of `classes` classes, dealt round to `groups` groups.
Dataset make_many(int classes, int per_class, int groups) {
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < classes * per_class; ++i)
    all.emplace_back("c" + std::to_string(i % classes), "g" + std::to_string(i / classes % groups));
  return make(all);
}

std::set<std::string> names(const Dataset& dataset, const std::vector<int64_t>& indices) {
  std::set<std::string> all;
  for (const int64_t i : indices) all.insert(dataset.samples[static_cast<size_t>(i)].name);
  return all;
}

void expect_partition(const Dataset& dataset, const Split& split) {
  std::vector<int64_t> all = split.train;
  all.insert(all.end(), split.validation.begin(), split.validation.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), dataset.samples.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<int64_t>(i));
  EXPECT_TRUE(std::is_sorted(split.train.begin(), split.train.end()));
  EXPECT_TRUE(std::is_sorted(split.validation.begin(), split.validation.end()));
}

TEST(IndexClasses, AreInNaturalOrder) {
  const Classes classes = index_classes(make({{"sirna_10", ""}, {"sirna_9", ""}, {"sirna_10", ""}}), "label");
  EXPECT_THAT(classes.names, ElementsAre("sirna_9", "sirna_10"));
  EXPECT_THAT(classes.of_sample, ElementsAre(1, 0, 1));
}

TEST(IndexClasses, NeedALabelForEverySampleAndTwoClasses) {
  const auto error_of = [](const Dataset& dataset, const char* column) {
    return test::message_of<Error>([&] { index_classes(dataset, column); });
  };
  EXPECT_THAT(error_of(make({{"x", ""}, {"", ""}}), "label"),
              HasSubstr("1 of 2 images have no label, such as a2"));
  EXPECT_THAT(error_of(make({{"x", ""}, {"x", ""}}), "label"), HasSubstr("only 'x'"));
  EXPECT_THAT(error_of(make({}), "label"), HasSubstr("none"));
  EXPECT_THAT(error_of(make({{"x", ""}}), "kind"), HasSubstr("no column 'kind'"));
}

TEST(SplitByGroups, HoldsOutTheNamedGroupsWhole) {
  const Dataset dataset = make({{"x", "g10"}, {"y", "g2"}, {"x", "g1"}, {"y", "g10"}});
  const Split split = split_by_groups(dataset, "group", {"g10", "g2", "g10"});
  EXPECT_THAT(split.train, ElementsAre(2));
  EXPECT_THAT(split.validation, ElementsAre(0, 1, 3));
  EXPECT_THAT(split.held_out_groups, ElementsAre("g2", "g10"));
}

TEST(SplitByGroups, UnknownGroupsAndEmptySidesAreErrors) {
  const Dataset dataset = make({{"x", "g1"}, {"y", "g2"}});
  const auto error_of = [&](const std::vector<std::string>& groups) {
    return test::message_of<Error>([&] { split_by_groups(dataset, "group", groups); });
  };
  EXPECT_THAT(error_of({"g3"}), AllOf(HasSubstr("'g3'"), HasSubstr("g1, g2")));
  EXPECT_THAT(error_of({"g1", "g2"}), HasSubstr("none to train on"));
  EXPECT_NE(error_of({}), "");
}

TEST(SplitByFraction, KeepsGroupsWholeAndComesNearTheFraction) {
  const Dataset dataset = make_many(4, 100, 20);  // 20 groups of 20 samples
  const Classes classes = index_classes(dataset, "label");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Split split =
        split_by_fraction(dataset, classes, {.fraction = 0.25, .column = "group", .seed = seed});
    expect_partition(dataset, split);
    EXPECT_THAT(split.validation, SizeIs(100));
    EXPECT_THAT(split.held_out_groups, SizeIs(5));
    const size_t group = dataset.require_column("group");
    for (const int64_t i : split.validation)
      EXPECT_THAT(split.held_out_groups,
                  testing::Contains(dataset.samples[static_cast<size_t>(i)].values[group]));
    for (const int64_t i : split.train)
      EXPECT_THAT(split.held_out_groups,
                  testing::Not(testing::Contains(dataset.samples[static_cast<size_t>(i)].values[group])));
  }
}

TEST(SplitByFraction, HoldsOutAtLeastOneGroupAndNeverAll) {
  const Dataset dataset = make({{"x", "a"}, {"y", "a"}, {"x", "a"}, {"y", "b"}, {"x", "b"}});
  const Classes classes = index_classes(dataset, "label");
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Split few =
        split_by_fraction(dataset, classes, {.fraction = 0.01, .column = "group", .seed = seed});
    EXPECT_THAT(few.held_out_groups, ElementsAre("b")) << "the smallest";
    const Split most =
        split_by_fraction(dataset, classes, {.fraction = 0.99, .column = "group", .seed = seed});
    EXPECT_THAT(most.held_out_groups, ElementsAre("a"));
  }
}

TEST(SplitByFraction, WithoutGroupsDrawsImagesStratifiedByClass) {
  const Dataset dataset = make_many(5, 20, 1);
  const Classes classes = index_classes(dataset, "label");
  const Split split = split_by_fraction(dataset, classes, {.fraction = 0.2, .column = "", .seed = 3});
  expect_partition(dataset, split);
  EXPECT_THAT(split.held_out_groups, IsEmpty());
  std::map<int64_t, int> of_class;
  for (const int64_t i : split.validation) ++of_class[classes.of_sample[static_cast<size_t>(i)]];
  for (int64_t c = 0; c < 5; ++c) EXPECT_EQ(of_class[c], 4);
}

TEST(SplitByFraction, SharesOfSmallClassesAddUpAndLeaveOneToTrainOn) {
  const Dataset dataset = make_many(10, 3, 1);  // 20% of 3 is 0.6: six of the ten classes give one
  const Classes classes = index_classes(dataset, "label");
  EXPECT_THAT(split_by_fraction(dataset, classes, {.fraction = 0.2}).validation, SizeIs(6));
  const Split most = split_by_fraction(dataset, classes, {.fraction = 0.9});
  std::set<int64_t> trained;
  for (const int64_t i : most.train) trained.insert(classes.of_sample[static_cast<size_t>(i)]);
  EXPECT_THAT(trained, SizeIs(10));
}

TEST(SplitByFraction, TheLargestRemaindersAreRoundedUp) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [label, count] : {std::pair{"a", 11}, {"b", 14}, {"c", 13}})  // shares of 2.2, 2.8 and 2.6
    all.insert(all.end(), static_cast<size_t>(count), {label, ""});
  const Dataset dataset = make(all);
  const Split split = split_by_fraction(dataset, index_classes(dataset, "label"), {.fraction = 0.2});
  std::map<std::string, int> held_out;
  for (const int64_t i : split.validation) ++held_out[dataset.samples[static_cast<size_t>(i)].values[0]];
  EXPECT_THAT(held_out, ElementsAre(std::pair{"a", 2}, std::pair{"b", 3}, std::pair{"c", 3}));
}

TEST(SplitByFraction, DependsOnTheSeedAndNotOnTheOrderOfSamples) {
  const Dataset dataset = make_many(4, 50, 10);
  Dataset reversed = dataset;
  std::reverse(reversed.samples.begin(), reversed.samples.end());
  for (const char* column : {"", "group"}) {
    const auto draw = [&](const Dataset& from, uint64_t seed) {
      const Classes classes = index_classes(from, "label");
      const FractionSplit options{.fraction = 0.3, .column = column, .seed = seed};
      return names(from, split_by_fraction(from, classes, options).validation);
    };
    EXPECT_EQ(draw(dataset, 1), draw(dataset, 1));
    EXPECT_EQ(draw(dataset, 1), draw(reversed, 1));
    EXPECT_NE(draw(dataset, 1), draw(dataset, 2));
  }
}

// A run that is repeated after an upgrade must hold out the same images: these draws are part of the format.
TEST(SplitByFraction, DrawsStayAsTheyAre) {
  const Dataset dataset = make_many(2, 10, 5);
  const Classes classes = index_classes(dataset, "label");
  const Split groups = split_by_fraction(dataset, classes, {.fraction = 0.4, .column = "group", .seed = 7});
  EXPECT_THAT(groups.held_out_groups, ElementsAre("g0", "g4"));
  EXPECT_THAT(split_by_fraction(dataset, classes, {.fraction = 0.2, .seed = 7}).validation,
              ElementsAre(1, 4, 8, 17));
}

TEST(SplitByFraction, WhatCannotBeSplitIsAnError) {
  const Dataset dataset = make({{"x", "g1"}, {"y", "g1"}, {"x", "g1"}});
  const Classes classes = index_classes(dataset, "label");
  const auto error_of = [&](const FractionSplit& options) {
    return test::message_of<Error>([&] { split_by_fraction(dataset, classes, options); });
  };
  EXPECT_THAT(error_of({.fraction = 0.0}), HasSubstr("between 0 and 1"));
  EXPECT_THAT(error_of({.fraction = 1.0}), HasSubstr("between 0 and 1"));
  EXPECT_THAT(error_of({.fraction = 0.01}), HasSubstr("none to hold out"));
  EXPECT_THAT(error_of({.fraction = 0.5, .column = "group"}), HasSubstr("fewer than two groups"));
  EXPECT_THAT(error_of({.fraction = 0.5, .column = "plate"}), HasSubstr("no column 'plate'"));
}

TEST(RealData, MitoCheckSplitsByPlate) {
  CYTOGRAD_NEEDS_SAMPLES();
  const Dataset dataset = open_dataset(test::samples_folder() / "mitocheck");
  const Classes classes = index_classes(dataset, dataset.label_column);
  EXPECT_THAT(classes.names, SizeIs(16));
  const Split split = split_by_fraction(dataset, classes, {.fraction = 0.2, .column = dataset.group_column});
  expect_partition(dataset, split);
  EXPECT_NEAR(static_cast<double>(split.validation.size()), 0.2 * 2194, 20);
}

/// `wells` wells of two sites each on two plates, classes dealt round; no groups.
Dataset make_wells(int wells) {
  Dataset dataset;
  dataset.root = "data";
  dataset.columns = {"label", "experiment", "plate", "well", "site"};
  for (int i = 0; i < 2 * wells; ++i) {
    const std::string plate = std::to_string(i % 2 + 1), well = "B" + std::to_string(i / 4),
                      site = std::to_string(i / 2 % 2 + 1);
    dataset.samples.push_back({"HUVEC-01_" + plate + "_" + well + "_s" + site,
                               {"a.png"},
                               {"c" + std::to_string(i / 4 % 3), "HUVEC-01", plate, well, site}});
  }
  return dataset;
}

TEST(Split, SitesOfAWellStayTogether) {
  const Dataset dataset = make_wells(60);
  const Classes classes = index_classes(dataset, "label");
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Split split = split_by_fraction(dataset, classes, {.fraction = 0.25, .seed = seed});
    expect_partition(dataset, split);
    EXPECT_EQ(split.validation.size(), 30U);
    const std::set<std::string> trained = names(dataset, split.train);
    for (std::string name : names(dataset, split.validation)) {
      name.back() = name.back() == '1' ? '2' : '1';
      EXPECT_FALSE(trained.contains(name)) << name;
    }
  }
  EXPECT_THAT(split_by_fraction(dataset, classes, {.fraction = 0.25, .column = "well"}).held_out_groups,
              AnyOf(SizeIs(7), SizeIs(8)));
}

TEST(Split, AColumnThatPartsAWellIsRefused) {
  const Dataset dataset = make_wells(6);
  const Classes classes = index_classes(dataset, "label");
  for (const auto& split :
       {std::function([&] { split_by_groups(dataset, "site", {"1"}); }),
        std::function([&] { split_by_fraction(dataset, classes, {.fraction = 0.5, .column = "site"}); })}) {
    EXPECT_THAT(test::message_of<Error>(split),
                AllOf(HasSubstr("images of one well (B0 HUVEC-01 1)"), HasSubstr("--group")));
  }
}

}  // namespace
}  // namespace cytograd
