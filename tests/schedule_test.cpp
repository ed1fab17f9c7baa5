#include "engine/schedule.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/check.h"

namespace cytograd {
namespace {

void expect_rates(const ScheduleOptions& options, const std::vector<std::pair<int64_t, double>>& expected) {
  for (const auto& [step, rate] : expected) EXPECT_NEAR(learning_rate(options, step), rate, 1e-14) << step;
}

// Numbers from PyTorch 2.15: OneCycleLR(SGD([p], lr=1.0), max_lr=0.4, anneal_strategy="cos",
// cycle_momentum=False, total_steps=..., ...), get "lr" before each step.
TEST(Schedule, OneCycleIsPyTorchs) {
  expect_rates({.kind = ScheduleKind::one_cycle, .peak = 0.4, .steps = 20}, {{0, 0.016000000000000014},
                                                                             {1, 0.05266873708001013},
                                                                             {4, 0.3633312629199899},
                                                                             {5, 0.4},
                                                                             {6, 0.39498560249403497},
                                                                             {12, 0.2000008},
                                                                             {18, 0.005015997505965022},
                                                                             {19, 1.6e-06}});
  expect_rates(
      {.kind = ScheduleKind::one_cycle, .peak = 0.4, .steps = 101},  // the top lies between two steps
      {{0, 0.016000000000000014},
       {1, 0.01710260416010928},
       {29, 0.3999006790647445},
       {30, 0.3999032568453718},
       {65, 0.19689045005737935},
       {99, 0.000199018441584517},
       {100, 1.6e-06}});
  expect_rates({.kind = ScheduleKind::one_cycle,
                .peak = 0.4,
                .steps = 7,
                .pct_start = 0.5,
                .div_factor = 10,
                .final_div_factor = 100},
               {{0, 0.03999999999999998},
                {1, 0.16437694101250946},
                {2, 0.36562305898749053},
                {3, 0.38021357980690335},
                {4, 0.24465968260447163},
                {5, 0.07562673758862505},
                {6, 0.0004}});
}

TEST(Schedule, BehindItsEndTheRateStaysWhereItIs) {
  for (const ScheduleKind kind : {ScheduleKind::one_cycle, ScheduleKind::cosine}) {
    const ScheduleOptions options{.kind = kind, .peak = 0.4, .steps = 20};
    EXPECT_EQ(learning_rate(options, 25), learning_rate(options, 20));
  }
}

TEST(Schedule, OneCycleOfFewStepsIsFinite) {
  for (int64_t steps = 1; steps <= 8; ++steps) {
    for (int64_t step = 0; step <= steps + 1; ++step) {
      const double rate = learning_rate({.kind = ScheduleKind::one_cycle, .peak = 1.0, .steps = steps}, step);
      EXPECT_GT(rate, 0.0) << step << " of " << steps;
      EXPECT_LE(rate, 1.0) << step << " of " << steps;
    }
  }
}

// CosineAnnealingLR(SGD([p], lr=0.3), T_max=10, eta_min=0.03).
TEST(Schedule, CosineWithoutWarmupIsPyTorchs) {
  expect_rates({.kind = ScheduleKind::cosine, .peak = 0.3, .steps = 10, .final_fraction = 0.1},
               {{0, 0.3},
                {1, 0.2933926296998458},
                {4, 0.2067172942406179},
                {5, 0.165},
                {9, 0.03660737030015428},
                {10, 0.03},
                {99, 0.03}});
}

TEST(Schedule, WarmsUpLinearlyFromOne25thOfThePeak) {
  const ScheduleOptions cosine{.kind = ScheduleKind::cosine, .peak = 1.0, .steps = 12, .warmup_steps = 4};
  expect_rates(cosine, {{0, 0.04}, {1, 0.28}, {2, 0.52}, {3, 0.76}, {4, 1.0}, {8, 0.5}, {12, 0.0}});
  ScheduleOptions constant = cosine;
  constant.kind = ScheduleKind::constant;
  expect_rates(constant, {{0, 0.04}, {3, 0.76}, {4, 1.0}, {12, 1.0}, {1000, 1.0}});
}

TEST(Schedule, AWarmupLongerThanTheTrainingIsNoError) {
  const ScheduleOptions options{.kind = ScheduleKind::cosine, .peak = 1.0, .steps = 2, .warmup_steps = 4};
  expect_rates(options, {{0, 0.04}, {1, 0.28}, {4, 0.0}});
}

TEST(Schedule, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(learning_rate({.steps = 0}, 0), CheckError);
  EXPECT_THROW(learning_rate({.steps = 5}, -1), CheckError);
  EXPECT_THROW(learning_rate({.kind = ScheduleKind::one_cycle, .steps = 5, .div_factor = 0}, 0), CheckError);
  EXPECT_THROW(parse_schedule("cosinus"), Error);
  EXPECT_EQ(parse_schedule("one_cycle"), ScheduleKind::one_cycle);
}

}  // namespace
}  // namespace cytograd
