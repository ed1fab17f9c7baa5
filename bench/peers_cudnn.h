// cuDNN's own calls (the API of fixed functions) for what the CUDA backend computes itself, on the backend's stream.
// Linked where there is a GPU to build for; elsewhere all calls are empty.
#pragma once

#include "bench/peers.h"

namespace cytograd::bench {

Call cudnn_add(const Shape& shape, DType dtype);
Passes cudnn_relu(const Shape& shape, DType dtype);
Call cudnn_softmax(const Shape& shape, DType dtype);
Passes cudnn_batchnorm_act(const Shape& x, DType dtype, bool residual);
Passes cudnn_max_pool2d(const Shape& x, DType dtype, const MaxPool2dOptions& options);
Passes cudnn_global_avg_pool(const Shape& x, DType dtype);

}  // namespace cytograd::bench
