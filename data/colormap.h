// Channel fusion `colormap`: six fluorescence channels to RGB as the RxRx1 utilities do it
// (github.com/recursionpharma/rxrx1-utils, rxrx/io.py, convert_tensor_to_rgb), bit for bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "data/image.h"

namespace cytograd {

inline constexpr int64_t kColormapChannels = 6;

/// The share of channel c in (R, G, B) for each of its values: table[c][v][rgb]. Shares add up, to at most
/// 255.
using ColormapTable = std::array<std::array<std::array<uint8_t, 3>, 256>, kColormapChannels>;

/// trunc(min(1, v / hi) * colour) in f64, v / hi being (v / 255) / (hi / 255) in the original.
inline constexpr ColormapTable colormap_table = [] {
  struct Channel {
    double hi;
    std::array<double, 3> colour;
  };
  // Nuclei, endoplasmic reticulum, actin, nucleoli and RNA, mitochondria, Golgi.
  constexpr std::array<Channel, kColormapChannels> channels{{{51, {19, 0, 249}},
                                                             {107, {42, 255, 31}},
                                                             {64, {255, 0, 25}},
                                                             {191, {45, 255, 252}},
                                                             {89, {250, 0, 253}},
                                                             {191, {254, 255, 40}}}};
  ColormapTable table{};
  for (size_t c = 0; c < channels.size(); ++c)
    for (size_t v = 0; v < 256; ++v) {
      const double x = std::min(1.0, static_cast<double>(v) / 255.0 / (channels[c].hi / 255.0));
      for (size_t k = 0; k < 3; ++k) table[c][v][k] = static_cast<uint8_t>(x * channels[c].colour[k]);
    }
  return table;
}();

/// [H, W, 6] to [H, W, 3]. Throws Error where there are not six channels.
Image colormap(const Image& planes);

}  // namespace cytograd
