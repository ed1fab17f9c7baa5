// From 16-bit levels to 8 bits.
#pragma once

#include <cstdint>
#include <vector>

namespace cytograd {

/// min(255, round(v * 255 / white)), halves up, for v = 0 to 65,535. Throws CheckError where `white` is none of 1 to
/// 65,535.
std::vector<uint8_t> white_table(int32_t white);

}  // namespace cytograd
