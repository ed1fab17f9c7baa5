// Undoes the filters that PNG puts on rows before they are compressed. Internal to data/png_decode.cpp.
#pragma once

#include <cstdint>

namespace cytograd {

struct PngRows {
  int64_t height = 0;
  int64_t stride = 0;  ///< bytes of a row, without its filter
  int64_t pixel = 0;   ///< bytes of a pixel, 1 to 8: how far "left" is
};

/// `rows` has, for each row, a filter (0 to 4) and its bytes; they go to `y` [height, stride]. False where a filter is
/// none of these.
bool unfilter_png(const uint8_t* rows, const PngRows& shape, uint8_t* y);

}  // namespace cytograd
