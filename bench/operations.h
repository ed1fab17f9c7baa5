// Arithmetic that an op cannot do without.
#pragma once

#include "engine/op_options.h"
#include "engine/shape.h"

namespace cytograd::bench {

/// Products of a convolution of x [N, H, W, I] with w [O, kh, kw, I], less those with padding: as many forward as in
/// each gradient. Winograd's transforms do with fewer.
int64_t conv2d_products(const Shape& x, const Shape& w, const Conv2dOptions& options);

}  // namespace cytograd::bench
