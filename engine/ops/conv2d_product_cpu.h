// Convolution as products of pixels, read where they lie, with windows in panels. f32.
#pragma once

#include "engine/op_options.h"

namespace cytograd::conv2d_product {

/// Whether channels are multiples of 16, as forward and backward_input want them.
bool possible(const Shape& w);

/// Share of the multiplications of backward_weight, which serves every shape, that are not of padding.
double weight_efficiency(const Shape& w);

/// As the methods of Backend; all tensors f32. Sums are in one order, whatever the number of threads.
Tensor forward(const Tensor& x, const Tensor& w, const Conv2dOptions& options);
Tensor backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape, const Conv2dOptions& options);
Tensor backward_weight(const Tensor& dy, const Tensor& x, const Shape& w_shape, const Conv2dOptions& options);

}  // namespace cytograd::conv2d_product
