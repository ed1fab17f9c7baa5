// The device's library for what the backends compute themselves: oneDNN on the CPU, cuDNN on a GPU; each on data of its
// own, as a program would that is built on it.
#pragma once

#include <functional>

#include "bench/harness.h"
#include "engine/op_options.h"

namespace cytograd::bench {

/// Empty where the library has none, such as oneDNN of bf16 without AVX-512.
using Call = std::function<void()>;

struct Passes {
  Call forward;
  Call backward;
};

struct DensePasses {
  Call forward;
  Call backward_input;
  Call backward_weight;
};

/// The work with its device's library beside it, where that has a call.
Work with_library(Work work, Device device, Call call);

Call peer_add(Device device, const Shape& shape, DType dtype);
Passes peer_relu(Device device, const Shape& shape, DType dtype);
Call peer_softmax(Device device, const Shape& shape, DType dtype);
/// Batch norm in training, then the residual, then ReLU.
Passes peer_batchnorm_act(Device device, const Shape& x, DType dtype, bool residual);
Passes peer_max_pool2d(Device device, const Shape& x, DType dtype, const MaxPool2dOptions& options);
Passes peer_global_avg_pool(Device device, const Shape& x, DType dtype);

}  // namespace cytograd::bench
