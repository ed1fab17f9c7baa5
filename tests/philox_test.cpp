// The generator is Philox4x32-10 as published, and its draws have the distributions they claim.
#include "engine/philox.h"

#include <gtest/gtest.h>

#include <vector>

namespace cytograd {
namespace {

// Known answers of the authors' library Random123, kat_vectors.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32(PhiloxWords{0, 0, 0, 0}, 0, 0),
            (PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32(PhiloxWords{ones, ones, ones, ones}, ones, ones),
            (PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32(PhiloxWords{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamIsTheBlocksOfItsCounter) {
  Philox stream(0x123456789abcdef0u, 0xfedcba9876543210u, 7);
  for (uint32_t block = 0; block < 3; ++block) {
    const auto [w0, w1, w2, w3] =
        philox4x32(PhiloxWords{block, 7, 0x76543210u, 0xfedcba98u}, 0x9abcdef0u, 0x12345678u);
    for (const uint32_t word : {w0, w1, w2, w3}) EXPECT_EQ(stream.bits(), word);
  }
}

TEST(Philox, EachPartOfTheTripleMakesAnotherStream) {
  const uint32_t first = Philox(1, 2, 3).bits();
  EXPECT_EQ(Philox(1, 2, 3).bits(), first);
  EXPECT_NE(Philox(2, 2, 3).bits(), first);
  EXPECT_NE(Philox(1, 3, 3).bits(), first);
  EXPECT_NE(Philox(1, 2, 4).bits(), first);
  EXPECT_NE(Philox(1 + (uint64_t{1} << 32), 2, 3).bits(), first);
  EXPECT_NE(Philox(1, 2 + (uint64_t{1} << 32), 3).bits(), first);
}

constexpr int kDraws = 1 << 18;

// Chi-squared with 255 degrees of freedom lies below 347 with probability 0.9999.
TEST(Philox, UniformFillsItsRangeEvenly) {
  Philox stream(42);
  std::vector<int> count(256);
  for (int i = 0; i < kDraws; ++i) {
    const float u = stream.uniform();
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ++count[static_cast<size_t>(u * 256.0f)];
  }
  double chi_squared = 0.0;
  for (const int n : count) chi_squared += (n - kDraws / 256.0) * (n - kDraws / 256.0) / (kDraws / 256.0);
  EXPECT_LT(chi_squared, 347.0);
}

TEST(Philox, UniformKeepsToItsBounds) {
  Philox stream(43);
  for (int i = 0; i < kDraws; ++i) {
    const float u = stream.uniform(-3.0f, 5.0f);
    ASSERT_GE(u, -3.0f);
    ASSERT_LT(u, 5.0f);
  }
}

// Standard errors: of the mean 1 / sqrt(n) = 0.002, of the variance sqrt(2 / n) = 0.0028; five of each.
TEST(Philox, NormalHasMeanZeroAndVarianceOne) {
  Philox stream(44);
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double v = stream.normal();
    ASSERT_TRUE(std::isfinite(v));
    sum += v;
    squares += v * v;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.014);
}

TEST(Philox, BelowReachesEveryValueAndNoOther) {
  Philox stream(45);
  for (const uint64_t n : {1, 2, 3, 7, 51}) {
    std::vector<int> count(n);
    for (int i = 0; i < 10000; ++i) {
      const uint32_t draw = stream.below(n);
      ASSERT_LT(draw, n);
      ++count[draw];
    }
    const double expected = 10000.0 / static_cast<double>(n);
    for (const int c : count) EXPECT_NEAR(c, expected, 6.0 * std::sqrt(expected)) << "of " << n;
  }
}

// 3 * 2^30 does not divide 2^32: without the rejection, a third of the values would come twice as often.
TEST(Philox, BelowIsUnbiasedForLargeRanges) {
  Philox stream(46);
  const uint64_t n = uint64_t{3} << 30;
  std::array<int, 3> count{};
  std::array<int, 3> residue{};
  for (int i = 0; i < 30000; ++i) {
    const uint32_t draw = stream.below(n);
    ASSERT_LT(draw, n);
    ++count[draw >> 30];
    ++residue[draw % 3];
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(count[i], 10000, 500);
    EXPECT_NEAR(residue[i], 10000, 500);
  }
}

TEST(Philox, BelowTakesAllOf32Bits) { EXPECT_EQ(Philox(47).below(uint64_t{1} << 32), Philox(47).bits()); }

}  // namespace
}  // namespace cytograd
