#include "engine/colour_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "data/colormap.h"
#include "engine/check.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

/// What the ramps add is what the table says, with x rounded to f32 and nothing else rounded.
void expect_exact(const ColourTable& table) {
  for (size_t c = 0; c < table.ramps().size(); ++c) {
    const ColourRamp& ramp = table.ramps()[c];
    for (size_t v = 0; v < 256; ++v) {
      const double x = std::min(1.0f, static_cast<float>(v) * ramp.scale);
      for (size_t k = 0; k < 3; ++k)
        ASSERT_EQ(std::floor(x * ramp.colour[k]), table.shares().data<uint8_t>()[(c * 256 + v) * 3 + k])
            << c << ", " << v << ", " << k;
    }
  }
}

Tensor shares_of(const std::function<int(int channel, int value, int colour)>& share) {
  std::vector<uint8_t> shares;
  for (int i = 0; i < 2 * 256 * 3; ++i)
    shares.push_back(static_cast<uint8_t>(share(i / 768, i / 3 % 256, i % 3)));
  return Tensor::from(shares, {2, 256, 3});
}

TEST(ColourTable, TheRxRx1ColormapIsSixRamps) {
  const ColourTable table(Colormap::rxrx1().table());
  EXPECT_EQ(table.ramps().size(), 6u);
  expect_exact(table);
}

TEST(ColourTable, RampsOfAllColoursUpToAllLevels) {
  Philox random(1);
  int ramps = 0;
  constexpr int kTables = 400;
  for (int i = 0; i < kTables; ++i) {
    const auto byte = [&] { return static_cast<uint8_t>(random.below(256)); };
    const ColourTable table(
        Colormap({{.channel = 1, .red = byte(), .green = byte(), .blue = byte(), .high = 1 + i % 255}})
            .table());
    expect_exact(table);
    ramps += static_cast<int>(table.ramps().size());
  }
  // The others have a share that f64 rounded down from a whole number.
  EXPECT_GE(ramps, kTables * 4 / 5);
}

TEST(ColourTable, OtherSharesAreNoRamps) {
  const auto is_ramps = [](const Tensor& shares) { return !ColourTable(shares).ramps().empty(); };
  EXPECT_TRUE(is_ramps(shares_of([](int, int value, int) { return value; })));
  EXPECT_TRUE(is_ramps(shares_of([](int, int, int) { return 0; })));
  EXPECT_TRUE(is_ramps(shares_of([](int, int value, int) { return value > 0 ? 255 : 0; })));
  EXPECT_FALSE(is_ramps(shares_of([](int, int, int) { return 1; }))) << "0 adds";
  EXPECT_FALSE(is_ramps(shares_of([](int, int value, int) { return std::max(0, value - 9); })));
  for (const int at : {1, 100, 254, 255}) {
    for (const int off : {-2, 2}) {
      const Tensor shares = shares_of([&](int channel, int value, int colour) {
        return value / 2 + (channel == 1 && colour == 2 && value == at ? off : 0);
      });
      EXPECT_FALSE(is_ramps(shares)) << at << ", " << off;
    }
  }
}

TEST(ColourTable, OtherShapesAndTypesAreAnError) {
  EXPECT_THROW(ColourTable(Tensor::zeros({6, 256}, DType::u8)), CheckError);
  EXPECT_THROW(ColourTable(Tensor::zeros({6, 255, 3}, DType::u8)), CheckError);
  EXPECT_THROW(ColourTable(Tensor::zeros({6, 256, 4}, DType::u8)), CheckError);
  EXPECT_THROW(ColourTable(Tensor::zeros({6, 256, 3}, DType::f32)), CheckError);
}

}  // namespace
}  // namespace cytograd
