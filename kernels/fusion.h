// Raw images as the network sees them before normalisation: crops of fused, shrunk pixels. What image_statistics.cu
// and preprocess.cu both read.
#pragma once

#include <cstdint>

namespace cytograd {

constexpr int kMaxImageChannels = 8;

enum class FusionKind : uint8_t { none, colormap, linear };

/// Geometry and brightness of one image: engine/op_options.h has their meaning.
struct ImageView {
  int64_t top = 0;
  int64_t left = 0;
  int32_t mirror = 0;  ///< 0 or 1
  int32_t quarter_turns = 0;
  float gain[kMaxImageChannels] = {};
  float offset[kMaxImageChannels] = {};
};

/// All pointers are to device memory.
struct FusedImages {
  const uint8_t* images = nullptr;  ///< [count, height, width, channels]
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  int32_t channels = 1;
  int32_t fused = 1;                  ///< channels after fusion
  const ImageView* views = nullptr;   ///< [count]
  const uint8_t* colormap = nullptr;  ///< [channels, 256, 3], of FusionKind::colormap
  const float* weight = nullptr;      ///< [fused, channels], of FusionKind::linear
  const float* bias = nullptr;        ///< [fused]
  int32_t shrink = 1;
  FusionKind fusion = FusionKind::none;
  int64_t rows = 0;  ///< of a crop, in shrunk pixels
  int64_t columns = 0;
  /// What a value v of a channel adds, where `colormap` is of such channels: floor(x * colour) with x = min(1, v *
  /// scale), rounded once.
  struct Ramp {
    float scale;
    float colour[3];
  };
  Ramp ramp[kMaxImageChannels] = {};
  int32_t ramps = 0;  ///< their number: `channels`, or 0
};

}  // namespace cytograd
