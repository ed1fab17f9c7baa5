// Convolution by windows of 3x3 and stride 1 in up to 4 times fewer multiplications: F(2x2, 3x3) and F(4x4, 3x3) of
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308). f32.
#pragma once

#include "engine/op_options.h"
#include "engine/tensor.h"

namespace cytograd::conv2d_winograd {

/// Whether windows are 3x3, the stride 1, padding 2 at most, channels multiples of 16.
bool possible(const Shape& w, const Conv2dOptions& options);

/// The side, 2 or 4 pixels, of the tiles that suit images [N, H, W, any] which they are to cover: y, dx, and for dw dy.
int64_t tile_side(const Shape& tiled);

/// How many times fewer multiplications that is than a convolution to y [N, H', W', any] has, padding counted.
double saving(const Shape& tiled, const Shape& y);

/// As the methods of Backend; all tensors f32, batches not empty. Sums are in one order, whatever the number of
/// threads. Errors spread up to twice as far as those of plain sums in f32, of what all of a tile's patch holds: by
/// tiles of 4 pixels a side, a result reads up to three pixels beyond its window, which cancel but for rounding, and
/// not where they are NaN.
Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options);
Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options);
Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape, const Conv2dOptions& options);

}  // namespace cytograd::conv2d_winograd
