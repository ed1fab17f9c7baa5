#include "data/colormap.h"

#include "engine/check.h"

namespace cytograd {

Image colormap(const Image& planes) {
  if (planes.channels != kColormapChannels)
    fail("the colormap is defined for {} channels and the image has {}; use another fusion",
         kColormapChannels, planes.channels);
  const int64_t count = planes.height * planes.width;
  CHECK(static_cast<int64_t>(planes.pixels.size()) == count * kColormapChannels, "{} bytes for {} pixels",
        planes.pixels.size(), count);
  Image rgb{planes.height, planes.width, 3, std::vector<uint8_t>(static_cast<size_t>(count) * 3)};
  const uint8_t* in = planes.pixels.data();
  uint8_t* out = rgb.pixels.data();
  for (int64_t i = 0; i < count; ++i, in += kColormapChannels, out += 3) {
    std::array<int, 3> sum{};
    for (size_t c = 0; c < kColormapChannels; ++c)
      for (size_t k = 0; k < 3; ++k) sum[k] += colormap_table[c][in[c]][k];
    for (size_t k = 0; k < 3; ++k) out[k] = static_cast<uint8_t>(std::min(255, sum[k]));
  }
  return rgb;
}

}  // namespace cytograd
