// What `cytograd eval` says of an evaluation, to people and as JSON.
#include "tools/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cytograd {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Seven classes, of which one has no image, and two groups.
Evaluation example() {
  return {
      .adabn = "plate",
      .count = 30,
      .loss = 0.5,
      .accuracy = 0.6,
      .macro_accuracy = 0.7,
      .top5_accuracy = 0.9,
      .per_class = {{4, 4}, {0, 0}, {4, 1}, {4, 3}, {4, 0}, {10, 5}, {4, 1}},
      .predicted =
          {{{0, 4}}, {}, {{3, 2}, {0, 1}, {2, 1}}, {{3, 3}, {0, 1}}, {{5, 4}}, {{5, 5}, {1, 5}}, {{6, 1}}},
      .per_group = {{"plate2", {20, 5}}, {"plate10", {10, 9}}}};
}

const std::vector<std::string> kClasses{"a", "none", "c", "d", "e", "f", "g"};

TEST(Report, NamesTheWorstOfTheClassesThatOccur) {
  const std::string text = format_evaluation(example(), kClasses);
  EXPECT_THAT(text, HasSubstr("  worst classes\n"
                              "    e    0.0% of 4, 4 taken for f\n"
                              "    c   25.0% of 4, 2 taken for d\n"
                              "    g   25.0% of 4\n"
                              "    f   50.0% of 10, 5 taken for none\n"
                              "    d   75.0% of 4, 1 taken for a\n"));
  EXPECT_THAT(text, Not(HasSubstr("    none")));
}

TEST(Report, HasTheFiguresAndEachGroup) {
  const std::string text = format_evaluation(example(), kClasses);
  EXPECT_THAT(text, HasSubstr("  images          30\n"
                              "  accuracy        0.6000\n"
                              "  macro accuracy  0.7000   (mean over classes)\n"
                              "  top-5 accuracy  0.9000\n"
                              "  loss            0.5000\n"
                              "  accuracy by group\n"
                              "    plate2    25.0% of 20\n"
                              "    plate10   90.0% of 10\n"));
}

TEST(Report, SaysHowManyGroupsItLeavesOut) {
  Evaluation evaluation = example();
  EXPECT_THAT(format_evaluation(evaluation, kClasses), Not(HasSubstr("more groups")));
  evaluation.per_group.resize(43, {"plate", {1, 1}});
  EXPECT_THAT(format_evaluation(evaluation, kClasses), HasSubstr("    and 3 more groups\n"));
}

TEST(Report, JsonKeepsClassesApartWhoseNamesAreNotUtf8) {
  Evaluation evaluation = example();
  evaluation.predicted[2] = {{0, 2}, {1, 1}};
  std::vector<std::string> classes = kClasses;
  classes[0] = "caf\xE9";
  classes[1] = "caf\xE8";
  const auto predicted =
      nlohmann::json::parse(evaluation_json(evaluation, classes))["per_class"][2]["predicted"];
  ASSERT_EQ(predicted.size(), 2U);
  EXPECT_EQ(predicted[0]["count"], 2);
  EXPECT_EQ(predicted[1]["count"], 1);
}

TEST(Report, JsonHasEveryFigure) {
  const auto json = nlohmann::json::parse(evaluation_json(example(), kClasses));
  EXPECT_EQ(json["adabn"], "plate");
  EXPECT_EQ(json["count"], 30);
  EXPECT_EQ(json["loss"], 0.5);
  EXPECT_EQ(json["accuracy"], 0.6);
  EXPECT_EQ(json["macro_accuracy"], 0.7);
  EXPECT_EQ(json["top5_accuracy"], 0.9);
  ASSERT_EQ(json["per_class"].size(), 7U);
  EXPECT_EQ(json["per_class"][2], nlohmann::json({{"class", "c"},
                                                  {"count", 4},
                                                  {"accuracy", 0.25},
                                                  {"predicted",
                                                   {{{"class", "d"}, {"count", 2}},
                                                    {{"class", "a"}, {"count", 1}},
                                                    {{"class", "c"}, {"count", 1}}}}}));
  EXPECT_TRUE(json["per_class"][1]["accuracy"].is_null()) << "of no image it is unknown";
  EXPECT_EQ(json["per_group"][1], nlohmann::json({{"group", "plate10"}, {"count", 10}, {"accuracy", 0.9}}));
}

}  // namespace
}  // namespace cytograd
