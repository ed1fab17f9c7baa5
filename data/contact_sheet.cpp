#include "data/contact_sheet.h"

#include <algorithm>
#include <array>

#include "data/colormap.h"
#include "engine/check.h"

namespace cytograd {
namespace {

/// Mean of K x K pixels; what is left over at the right and the bottom is dropped.
Image shrink(const Image& image, int64_t k) {
  Image small{image.height / k, image.width / k, image.channels, {}};
  small.pixels.reserve(static_cast<size_t>(small.height * small.width * small.channels));
  for (int64_t y = 0; y < small.height; ++y) {
    for (int64_t x = 0; x < small.width; ++x) {
      for (int64_t c = 0; c < image.channels; ++c) {
        int64_t sum = 0;
        for (int64_t i = 0; i < k * k; ++i) {
          const int64_t pixel = (y * k + i / k) * image.width + x * k + i % k;
          sum += image.pixels[static_cast<size_t>(pixel * image.channels + c)];
        }
        small.pixels.push_back(static_cast<uint8_t>((sum + k * k / 2) / (k * k)));
      }
    }
  }
  return small;
}

struct Range {
  int low = 0;
  int high = 255;

  uint8_t stretch(uint8_t v) const {
    return static_cast<uint8_t>(std::clamp((v - low) * 255 / (high - low), 0, 255));
  }
};

Range percentile_range(const Image& image, int64_t channel) {
  std::array<int64_t, 256> histogram{};
  const auto step = static_cast<size_t>(image.channels);
  for (auto i = static_cast<size_t>(channel); i < image.pixels.size(); i += step)
    ++histogram[image.pixels[i]];
  const double count = static_cast<double>(image.height * image.width);
  Range range{0, 0};
  double below = 0.0;
  for (int v = 0; v < 256; ++v) {
    below += static_cast<double>(histogram[static_cast<size_t>(v)]);
    if (below <= 0.01 * count) range.low = v + 1;
    if (below < 0.998 * count) range.high = v + 1;
  }
  range.high = std::max(range.high, range.low + 1);
  return range;
}

}  // namespace

Image contact_sheet(const std::vector<Image>& sites, const ContactSheetOptions& options) {
  if (sites.empty()) fail("a contact sheet needs at least one site");
  const Image& first = sites.front();
  const int64_t k =
      std::max<int64_t>(1, (std::max(first.height, first.width) + options.tile - 1) / options.tile);
  const int64_t tile_height = first.height / k;
  const int64_t tile_width = first.width / k;
  const int64_t columns = kColormapChannels + 1;
  const auto rows = static_cast<int64_t>(sites.size());
  Image sheet{rows * (tile_height + options.gap) - options.gap,
              columns * (tile_width + options.gap) - options.gap,
              3,
              {}};
  sheet.pixels.assign(static_cast<size_t>(sheet.height * sheet.width * 3), 255);

  for (int64_t row = 0; row < rows; ++row) {
    const Image& site = sites[static_cast<size_t>(row)];
    if (site.height != first.height || site.width != first.width)
      fail("the sites of a contact sheet differ in size");
    const Image fused = shrink(colormap(site), k);
    const Image small = shrink(site, k);
    for (int64_t column = 0; column < columns; ++column) {
      const bool channel = column < kColormapChannels;
      const Range range = channel ? percentile_range(site, column) : Range{};
      for (int64_t y = 0; y < tile_height; ++y) {
        const int64_t out =
            (row * (tile_height + options.gap) + y) * sheet.width + column * (tile_width + options.gap);
        for (int64_t x = 0; x < tile_width; ++x) {
          const int64_t in = y * tile_width + x;
          for (int64_t rgb = 0; rgb < 3; ++rgb) {
            const uint8_t value =
                channel ? range.stretch(small.pixels[static_cast<size_t>(in * kColormapChannels + column)])
                        : fused.pixels[static_cast<size_t>(in * 3 + rgb)];
            sheet.pixels[static_cast<size_t>((out + x) * 3 + rgb)] = value;
          }
        }
      }
    }
  }
  return sheet;
}

}  // namespace cytograd
