#include "data/white_table.h"

#include <algorithm>

#include "engine/check.h"

namespace cytograd {

// The result is k or more from v >= white * (2k - 1) / 510 on: 255 divisions in place of 65,536, so that a table an
// image costs nothing beside decoding it.
std::vector<uint8_t> white_table(int32_t white) {
  CHECK(white >= 1 && white <= 65535, "white is {}", white);
  std::vector<uint8_t> table(65536);
  const auto first_of = [&](int64_t k) { return (white * (2 * k - 1) + 509) / 510; };
  for (int64_t k = 1; k <= 255; ++k)
    std::fill(table.begin() + first_of(k), k == 255 ? table.end() : table.begin() + first_of(k + 1),
              static_cast<uint8_t>(k));
  return table;
}

}  // namespace cytograd
