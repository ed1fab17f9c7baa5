// Weights as torchvision lays them out: a convolution is [O, I, KH, KW] in the file and [O, KH, KW, I] in
// memory; all else is the same in both.
#pragma once

#include "engine/tensor.h"

namespace cytograd {

/// The shape in the file of what has this shape in memory.
Shape to_torch_layout(const Shape& x);
/// From memory to the file: rank 4 [O, KH, KW, I] to [O, I, KH, KW]; another rank as it is. On the CPU, any
/// type.
Tensor to_torch_layout(const Tensor& x);
/// From the file to memory: rank 4 [O, I, KH, KW] to [O, KH, KW, I]; another rank as it is.
Tensor from_torch_layout(const Tensor& x);

/// A first convolution [O, I, KH, KW] for images of `channels` channels: every one gets the mean over I,
/// times I / channels, so that activations keep their scale. As it is where I equals `channels`. Floating
/// types.
Tensor inflate_stem(const Tensor& w, int64_t channels);

}  // namespace cytograd
