#include "data/colormap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint8_t> colour_of(std::vector<uint8_t> values) {
  return Colormap::rxrx1()(Image{1, 1, static_cast<int64_t>(values.size()), std::move(values)}).pixels;
}

TEST(Colormap, AChannelAtItsHighShowsItsColour) {
  EXPECT_THAT(colour_of({51, 0, 0, 0, 0, 0}), ElementsAre(19, 0, 249));
  EXPECT_THAT(colour_of({0, 107, 0, 0, 0, 0}), ElementsAre(42, 255, 31));
  EXPECT_THAT(colour_of({0, 0, 64, 0, 0, 0}), ElementsAre(255, 0, 25));
  EXPECT_THAT(colour_of({0, 0, 0, 191, 0, 0}), ElementsAre(45, 255, 252));
  EXPECT_THAT(colour_of({0, 0, 0, 0, 89, 0}), ElementsAre(250, 0, 253));
  EXPECT_THAT(colour_of({0, 0, 0, 0, 0, 191}), ElementsAre(254, 255, 40));
}

TEST(Colormap, ClipsEachChannelThenTruncatesThenClipsTheSum) {
  EXPECT_THAT(colour_of({255, 0, 0, 0, 0, 0}), ElementsAre(19, 0, 249)) << "a channel's share is clipped";
  EXPECT_THAT(colour_of({1, 0, 0, 0, 0, 0}), ElementsAre(0, 0, 4)) << "19/51 and 249/51 are truncated";
  EXPECT_THAT(colour_of({1, 0, 1, 0, 0, 0}), ElementsAre(3, 0, 4)) << "before they are added: 4 + 0";
  EXPECT_THAT(colour_of({255, 255, 255, 255, 255, 255}), ElementsAre(255, 255, 255));
  EXPECT_THAT(colour_of({0, 0, 0, 0, 0, 0}), ElementsAre(0, 0, 0));
}

TEST(Colormap, OtherThanSixChannelsAreAnError) {
  EXPECT_THAT(test::message_of<Error>([] {
                colour_of({1, 2, 3});
              }),
              HasSubstr("the colormap is for 6 channels and the image has 3"));
}

TEST(Colormap, ComesBackFromItsFile) {
  const test::TempDir dir;
  const Colormap back = read_colormap(dir.write("c.csv", Colormap::rxrx1().csv()));
  EXPECT_EQ(back.csv(), Colormap::rxrx1().csv());
  EXPECT_EQ(back.table().to_vector<uint8_t>(), Colormap::rxrx1().table().to_vector<uint8_t>());
}

TEST(Colormap, AFileThatMakesNoSenseIsAnErrorThatNamesTheLine) {
  const test::TempDir dir;
  const auto error = [&](const std::string& rows) {
    const auto file = dir.write("c.csv", "channel,colour,low,high\n" + rows);
    return test::message_of<Error>([&] { read_colormap(file); });
  };
  EXPECT_EQ(error("2,#0a0B0c,3,4\n"), "");
  EXPECT_THAT(error(""), HasSubstr("names no channel"));
  EXPECT_THAT(error("0,#000000,0,255\n"),
              HasSubstr("c.csv:2: channel is '0', not a whole number from 1 to 8"));
  EXPECT_THAT(error("1,#000000,0,255\n9,#000000,0,255\n"), HasSubstr("c.csv:3: channel is '9'"));
  EXPECT_THAT(error("1,#00000,0,255\n"), HasSubstr("colour is '#00000'"));
  EXPECT_THAT(error("1,#00000g,0,255\n"), HasSubstr("colour is '#00000g'"));
  EXPECT_THAT(error("1,#000000,0,256\n"), HasSubstr("high is '256'"));
  EXPECT_THAT(error("1,#000000,-1,25\n"), HasSubstr("low is '-1'"));
  EXPECT_THAT(error("1,#000000,9,9\n"), HasSubstr("channel 1 goes from 9 to 9"));
  EXPECT_THAT(error("1,#000000,0,9\n1,#000000,0,9\n"), HasSubstr("names channel 1 twice"));
}

// Promised: bit for bit what numpy makes of the utilities' formula (golden/make_colormap_golden.py).
TEST(Colormap, IsBitExactOnRealSites) {
  CYTOGRAD_NEEDS_SAMPLES();
  std::ifstream file(test::golden_folder() / "colormap.json");
  const nlohmann::json sites = nlohmann::json::parse(file);
  ASSERT_FALSE(sites.empty());
  for (const auto& site : sites) {
    const std::string name = site["site"];
    SCOPED_TRACE(name);
    std::vector<std::string> files;
    for (int channel = 1; channel <= 6; ++channel)
      files.push_back(test::samples_folder() / "rxrx1" / (name + "_w" + std::to_string(channel) + ".png"));
    const Image rgb = Colormap::rxrx1()(read_planes(files));
    ASSERT_EQ(rgb.height, site["height"]);
    ASSERT_EQ(rgb.width, site["width"]);
    ASSERT_EQ(rgb.channels, 3);
    for (const auto& probe : site["probes"]) {
      const size_t at = (probe[0].get<size_t>() * rgb.width + probe[1].get<size_t>()) * 3;
      EXPECT_THAT(probe,
                  ElementsAre(probe[0], probe[1], rgb.pixels[at], rgb.pixels[at + 1], rgb.pixels[at + 2]));
    }
    std::array<int64_t, 3> sums{};
    for (size_t i = 0; i < rgb.pixels.size(); ++i) sums[i % 3] += rgb.pixels[i];
    EXPECT_EQ(sums, (site["sums"].get<std::array<int64_t, 3>>()));
    EXPECT_EQ(crc32_z(0, rgb.pixels.data(), rgb.pixels.size()), site["crc32"]);
  }
}

}  // namespace
}  // namespace cytograd
