// oneDNN's own primitives for what the CPU backend computes, each on data of its own and in the layouts that it likes
// best, as a program would that is built on it.
#pragma once

#include "bench/peers.h"

namespace cytograd::bench {

Call onednn_add(const Shape& shape, DType dtype);
Passes onednn_relu(const Shape& shape, DType dtype);
Call onednn_cast(const Shape& shape, DType from, DType to);
Call onednn_softmax(const Shape& shape);

/// One primitive where there is no residual, else several.
Passes onednn_batchnorm_act(const Shape& x, DType dtype, bool residual);

Passes onednn_max_pool2d(const Shape& x, DType dtype, const MaxPool2dOptions& options);
Passes onednn_global_avg_pool(const Shape& x, DType dtype);

DensePasses onednn_conv2d(const Shape& x, const Shape& w, DType dtype, const Conv2dOptions& options);
DensePasses onednn_linear(const Shape& x, const Shape& w, DType dtype);

}  // namespace cytograd::bench
