#include "data/brightness.h"

#include <algorithm>
#include <bit>

#include "data/image.h"
#include "data/stored_image.h"
#include "engine/check.h"

namespace cytograd {

int32_t Brightness::white() const {
  return std::max(static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(brightest) + 1)) - 1, 1);
}

Brightness look_at_brightness(const Dataset& dataset, int64_t most) {
  Brightness result;
  const auto count = static_cast<int64_t>(dataset.samples.size());
  const int64_t looked_at = std::min(most, count);
  for (int64_t i = 0; i < looked_at; ++i) {
    const Sample& sample = dataset.samples[static_cast<size_t>(i * count / looked_at)];
    try {
      bool has_16_bits = false;
      if (sample.pack == nullptr) {
        for (const std::string& file : sample.files) {
          if (read_image_info(file).bits != 16) continue;
          has_16_bits = true;
          result.brightest = std::max(result.brightest, brightest_value(file));
        }
      }
      result.of_16_bits += has_16_bits ? 1 : 0;
      ++result.looked_at;
    } catch (const Error&) {  // told where it is read
    }
  }
  return result;
}

}  // namespace cytograd
