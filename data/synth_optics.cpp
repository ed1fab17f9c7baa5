#include <algorithm>
#include <cmath>

#include "data/synth_stains.h"

namespace cytograd::synth {
namespace {

// Light from above and below the focal plane.
void add_haze(Plane& plane, float share) {
  const Plane close = wide_blur(plane, 4.0f);
  const Plane slow = wide_blur(plane, 12.0f);
  for (size_t i = 0; i < plane.values.size(); ++i)
    plane.values[i] =
        (1.0f - 0.4f * share) * plane.values[i] + share * (0.6f * close.values[i] + 0.6f * slow.values[i]);
}

// A tilt and a bowl, as an uneven lamp gives; about 1 on average.
float illumination(const std::array<float, 3>& shape, float x, float y) {
  return 1.0f + shape[0] * x + shape[1] * y - shape[2] * (x * x + y * y - 0.66f);
}

}  // namespace

Image expose(Stains stains, const CellType& type, const Batch& batch, Philox random) {
  const int size = stains[0].size;
  Image image{.height = size,
              .width = size,
              .channels = channel_count,
              .pixels = std::vector<uint8_t>(static_cast<size_t>(size) * size * channel_count)};
  const float to_unit = 2.0f / static_cast<float>(size);
  for (int c = 0; c < channel_count; ++c) {
    Plane& plane = stains[c];
    // A nucleus is compact and lies in the focal plane, so its channel has less haze.
    add_haze(plane, std::min(1.5f, type.haze * batch.haze[c] * (c == nuclei ? 0.3f : 1.0f)));
    blur(plane, batch.blur[c]);
    const float background = type.background[c] * batch.offset[c];
    const float level = type.level[c] * batch.gain[c];
    for (int row = 0; row < size; ++row)
      for (int column = 0; column < size; ++column) {
        const float x = (static_cast<float>(column) + 0.5f) * to_unit - 1.0f;
        const float y = (static_cast<float>(row) + 0.5f) * to_unit - 1.0f;
        const float light = std::max(0.0f, level * plane.at(row, column) + 0.5f * background) *
                            std::max(0.2f, illumination(batch.illumination[c], x, y));
        // Shot noise grows with the light; half a grey value of read noise is always there.
        const float noise = std::sqrt(0.25f + 0.035f * light) * rough_normal(random);
        const float value = std::clamp(light + 0.5f * background + noise + 0.5f, 0.0f, 255.0f);
        image.pixels[(static_cast<size_t>(row) * size + column) * channel_count + c] =
            static_cast<uint8_t>(value);
      }
  }
  return image;
}

}  // namespace cytograd::synth
