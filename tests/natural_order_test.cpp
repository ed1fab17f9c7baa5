#include "data/natural_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace cytograd {
namespace {

TEST(NaturalOrder, NumbersInNamesCompareAsNumbers) {
  EXPECT_LT(natural_compare("a2", "a10"), 0);
  EXPECT_GT(natural_compare("plate10_s1", "plate9_s2"), 0);
  EXPECT_LT(natural_compare("HEPG2-01_1_B02_s1", "HEPG2-01_1_B02_s2"), 0);
  EXPECT_LT(natural_compare("7", "1234567890123456789012345678901234567890"), 0) << "of any length";
}

TEST(NaturalOrder, AllElseComparesAsBytes) {
  EXPECT_LT(natural_compare("", "a"), 0);
  EXPECT_LT(natural_compare("a", "ab"), 0) << "a prefix comes first";
  EXPECT_LT(natural_compare("B", "a"), 0);
  EXPECT_LT(natural_compare("z", "\xC3\xA9"), 0) << "bytes are unsigned";
  EXPECT_LT(natural_compare("a1b", "a1c"), 0);
}

TEST(NaturalOrder, NamesThatDifferInLeadingZerosAloneAreNotEqual) {
  EXPECT_NE(natural_compare("a1", "a01"), 0);
  EXPECT_LT(natural_compare("a01", "a2"), 0);
  EXPECT_LT(natural_compare("a1b2", "a01b3"), 0) << "zeros decide last";
}

TEST(NaturalOrder, IsATotalOrder) {
  const std::vector<std::string> names{"",      "0",     "00",   "1",   "01",  "10", "2",    "a",
                                       "a0",    "a00",   "a1",   "a01", "a1b", "ab", "a10b", "a2b",
                                       "a01b2", "a1b02", "a1b1", "A1",  "-1",  "1-1"};
  for (const auto& a : names)
    for (const auto& b : names) {
      EXPECT_EQ(natural_compare(a, b) == 0, a == b) << a << " " << b;
      EXPECT_EQ(natural_compare(a, b) < 0, natural_compare(b, a) > 0) << a << " " << b;
      for (const auto& c : names) {
        const bool in_order = natural_compare(a, b) < 0 && natural_compare(b, c) < 0;
        EXPECT_TRUE(!in_order || natural_compare(a, c) < 0) << a << " " << b << " " << c;
      }
    }
}

}  // namespace
}  // namespace cytograd
