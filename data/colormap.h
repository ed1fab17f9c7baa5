// Channel fusion `colormap`: each fluorescence channel shows a colour, and colours add up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"
#include "engine/tensor.h"

namespace cytograd {

/// The colour of one channel: black at `low`, full colour from `high` on.
struct ColormapChannel {
  int64_t channel = 1;  ///< from 1
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  int64_t low = 0;  ///< 8-bit level
  int64_t high = 255;
};

/// RGB = min(255, sum over channels c of trunc(clamp((v_c - low_c) / (high_c - low_c), 0, 1) * colour_c)), in f64 with
/// levels over 255, which for low = 0 is bit for bit what the RxRx1 utilities compute (rxrx/io.py,
/// convert_tensor_to_rgb, github.com/recursionpharma/rxrx1-utils).
class Colormap {
 public:
  /// Channels that are not named show nothing. Throws Error where a channel is named twice, or a level or number is
  /// out of range.
  explicit Colormap(std::vector<ColormapChannel> channels);

  /// Nuclei, endoplasmic reticulum, actin, nucleoli and RNA, mitochondria, Golgi, as the RxRx1 utilities colour them.
  static Colormap rxrx1();

  /// Of the images it is for: the highest channel named.
  int64_t channels() const { return count_; }

  /// Throws Error, which names no image, where an image has other channels.
  void require_channels(int64_t channels) const;

  /// u8 [channels, 256, 3]: what each value of each channel adds to red, green and blue.
  Tensor table() const;

  /// [H, W, channels] to [H, W, 3]. Throws as require_channels.
  Image operator()(const Image& planes) const;

  /// As a file holds it: channel,colour,low,high with colour as #RRGGBB.
  std::string csv() const;

 private:
  std::vector<ColormapChannel> channels_;
  int64_t count_ = 0;
  std::vector<uint64_t> shares_;  // [channels, 256]: red, green and blue, 16 bits each
};

/// Reads a CSV with the columns channel,colour,low,high. Throws Error naming the line where it is malformed.
Colormap read_colormap(const std::filesystem::path& file);

}  // namespace cytograd
