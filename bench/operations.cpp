#include "bench/operations.h"

namespace cytograd::bench {
namespace {

/// Of `window` taps over all results along one side, those that meet the image's `size` pixels.
int64_t taps_inside(int64_t size, int64_t window, const Conv2dOptions& options) {
  int64_t inside = 0;
  for (int64_t y = 0; y < options.output_extent(size, window); ++y) {
    for (int64_t k = 0; k < window; ++k) {
      const int64_t at = y * options.stride + k - options.padding;
      inside += at >= 0 && at < size ? 1 : 0;
    }
  }
  return inside;
}

}  // namespace

int64_t conv2d_products(const Shape& x, const Shape& w, const Conv2dOptions& options) {
  return x[0] * taps_inside(x[1], w[1], options) * taps_inside(x[2], w[2], options) * w[0] * w[3];
}

}  // namespace cytograd::bench
