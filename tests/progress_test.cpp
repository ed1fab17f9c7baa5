#include "tools/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cytograd {
namespace {

using testing::ElementsAre;

class ProgressTest : public testing::Test {
 protected:
  ProgressOutput output(bool terminal, size_t columns = 80) {
    return {.write = [this](const std::string& text) { written_.push_back(text); },
            .seconds = [this] { return now_; },
            .terminal = terminal,
            .columns = [=] { return columns; }};
  }

  double now_ = 1000.0;
  std::vector<std::string> written_;
};

TEST_F(ProgressTest, ALineEveryTenSecondsWhereThereIsNoTerminal) {
  {
    Progress progress("reading", 1000, "images", output(false));
    for (int64_t done = 0; done <= 400; ++done) {
      progress.update(done);
      now_ += 0.0625;
    }
  }
  EXPECT_THAT(written_, ElementsAre("reading: 160/1000 images, 16/s, 53 s left\n",
                                    "reading: 320/1000 images, 16/s, 43 s left\n"));
}

TEST_F(ProgressTest, ABarThatFitsTheTerminalAndIsClearedAtTheEnd) {
  {
    Progress progress("epoch 1/2", 4, "steps", output(true, 70));
    progress.update(0);
    now_ += 0.5;
    progress.update(1, "loss 3.25");
    now_ += 0.05;
    progress.update(2);  // too soon
    now_ += 1.45;
    progress.update(4, "loss 1");
  }
  EXPECT_THAT(written_,
              ElementsAre("\repoch 1/2 [======                  ] 1/4 steps, 2.0/s, 2 s left, loss\x1b[K",
                          "\repoch 1/2 [========================] 4/4 steps, 2.0/s, 0 s left, loss\x1b[K",
                          "\r\x1b[K"));
}

// A pack that goes on from 900 images was not that fast.
TEST_F(ProgressTest, TheRateLeavesOutWhatWasThereBefore) {
  Progress progress("packing", 1000, "images", output(false));
  now_ += 30.0;
  progress.update(900);
  now_ += 10.0;
  progress.update(905);
  EXPECT_THAT(written_, ElementsAre("packing: 900/1000 images\n",
                                    "packing: 905/1000 images, 0.5/s, 3 min 10 s left\n"));
}

TEST_F(ProgressTest, NothingIsSaidOfShortWork) {
  {
    Progress progress("reading", 10, "images", output(true));
    for (int64_t done = 1; done <= 10; ++done) progress.update(done);
  }
  EXPECT_THAT(written_, testing::IsEmpty());
}

TEST(Duration, IsInTwoUnitsAtMost) {
  EXPECT_EQ(format_duration(-1.0), "0 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 0 s");
  EXPECT_EQ(format_duration(200.0), "3 min 20 s");
  EXPECT_EQ(format_duration(7500.0), "2 h 5 min");
}

}  // namespace
}  // namespace cytograd
