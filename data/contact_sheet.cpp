#include "data/contact_sheet.h"

#include <algorithm>
#include <array>

#include "data/pca_scopes.h"
#include "engine/check.h"

namespace cytograd {
namespace {

/// Mean of K x K pixels, or of fewer where a side has fewer; what is left over at the right and the bottom is dropped.
Image shrink(const Image& image, int64_t k) {
  const int64_t down = std::min(k, image.height), across = std::min(k, image.width), count = down * across;
  Image small{image.height / down, image.width / across, image.channels, {}};
  small.pixels.reserve(static_cast<size_t>(small.height * small.width * small.channels));
  for (int64_t y = 0; y < small.height; ++y) {
    for (int64_t x = 0; x < small.width; ++x) {
      for (int64_t c = 0; c < image.channels; ++c) {
        int64_t sum = 0;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t pixel = (y * down + i / across) * image.width + x * across + i % across;
          sum += image.pixels[static_cast<size_t>(pixel * image.channels + c)];
        }
        small.pixels.push_back(static_cast<uint8_t>((sum + count / 2) / count));
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

/// A channel of an image as grey RGB, stretched.
Image grey(const Image& site, const Image& small, int64_t channel) {
  const Range range = percentile_range(site, channel);
  Image tile{small.height, small.width, 3, {}};
  const auto step = static_cast<size_t>(small.channels);
  for (auto i = static_cast<size_t>(channel); i < small.pixels.size(); i += step)
    tile.pixels.insert(tile.pixels.end(), 3, range.stretch(small.pixels[i]));
  return tile;
}

StoredImage stored(const Image& image) {
  const auto copy = std::make_shared<const Image>(image);
  return {copy->height, copy->width, copy->channels,
          std::shared_ptr<const uint8_t[]>(copy, copy->pixels.data())};
}

PcaFit fit_together(const std::vector<Image>& sites) {
  ChannelSums sums(sites.front().channels);
  std::vector<uint8_t> pixels;
  for (const Image& site : sites) {
    sums.add(stored(site));
    pixels.insert(pixels.end(), site.pixels.begin(), site.pixels.end());
  }
  PcaFit fit{.sums = sums, .pca = fit_pca(sums, 3)};
  fit.ranges = percentile_ranges(fit.pca, pixels);
  return fit;
}

void paste(const Image& tile, int64_t top, int64_t left, Image& sheet) {
  const auto bytes = tile.width * 3;
  for (int64_t y = 0; y < tile.height; ++y) {
    const auto from = tile.pixels.begin() + y * bytes;
    std::copy(from, from + bytes, sheet.pixels.begin() + ((top + y) * sheet.width + left) * 3);
  }
}

}  // namespace

Image contact_sheet(const std::vector<Image>& sites, const ContactSheetOptions& options) {
  if (sites.empty()) fail("a contact sheet needs at least one site");
  const Image& first = sites.front();
  for (const Image& site : sites) {
    if (site.height != first.height || site.width != first.width || site.channels != first.channels)
      fail("the sites of a contact sheet differ in size or channels");
  }
  const int64_t k =
      std::max<int64_t>(1, (std::max(first.height, first.width) + options.tile - 1) / options.tile);
  const PcaFit together = fit_together(sites);
  std::vector<std::vector<Image>> rows;
  for (const Image& site : sites) {
    const Image small = shrink(site, k);
    std::vector<Image> tiles;
    for (int64_t c = 0; c < site.channels; ++c) tiles.push_back(grey(site, small, c));
    if (options.colormap) tiles.push_back(shrink((*options.colormap)(site), k));
    const PcaFit alone = fit_pca_image(stored(site), {});
    for (const PcaFit& fit : {alone, together})
      tiles.push_back(shrink(pca_to_rgb(site, fit.pca, fit.ranges), k));
    rows.push_back(std::move(tiles));
  }
  const Image& tile = rows.front().front();
  const int64_t down = tile.height + options.gap, across = tile.width + options.gap;
  Image sheet{static_cast<int64_t>(rows.size()) * down - options.gap,
              static_cast<int64_t>(rows.front().size()) * across - options.gap,
              3,
              {}};
  sheet.pixels.assign(static_cast<size_t>(sheet.height * sheet.width * 3), 255);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t column = 0; column < rows[row].size(); ++column)
      paste(rows[row][column], static_cast<int64_t>(row) * down, static_cast<int64_t>(column) * across,
            sheet);
  }
  return sheet;
}

}  // namespace cytograd
