// The differentiable ops. Each checks its arguments (CheckError), runs on its inputs' device and records its
// gradient rule. Shapes: images [N, H, W, C], convolution weights [O, KH, KW, I], as everywhere.
#pragma once

#include <span>

#include "engine/autograd.h"
#include "engine/op_options.h"

namespace cytograd {

/// x [N, H, W, I], w [O, KH, KW, I] (f32 or x's type) -> [N, H', W', O], cross-correlation as
/// torch.nn.functional.conv2d. On a CPU that takes Winograd's way, a result reads up to three pixels beyond its window:
/// an infinity or NaN there spreads to it, and a value far above the others costs it precision. In bf16, with an odd
/// number of input channels, oneDNN lets infinities spread likewise.
Variable conv2d(const Variable& x, const Variable& w, const Conv2dOptions& options);

/// Parameters and running statistics of a batch norm over C channels, each [C] f32.
struct BatchnormParameters {
  Variable gamma;
  Variable beta;
  Tensor running_mean;
  Tensor running_var;
  Tensor batches_tracked = {};  ///< i64 [], of the batches in the running statistics; may be undefined
};

/// act(batch_norm(x) + residual) in training: statistics of the batch, running statistics updated in place.
/// `residual` may be undefined. Ioffe and Szegedy, arXiv:1502.03167; formulas as
/// torch.nn.functional.batch_norm. Throws CheckError where a channel has a single value.
Variable batchnorm_act(const Variable& x, const BatchnormParameters& parameters, const Variable& residual,
                       const BatchnormActOptions& options);
/// The same with the running statistics; constant (it records nothing).
Tensor batchnorm_act_eval(const Tensor& x, const BatchnormParameters& parameters, const Tensor& residual,
                          const BatchnormActOptions& options);

/// [N, H, W, C] -> [N, H', W', C]; padding never wins. Padding at most half the window.
Variable max_pool2d(const Variable& x, const MaxPool2dOptions& options);
/// [N, H, W, C] -> [N, C].
Variable global_avg_pool(const Variable& x);

/// x [N, I], w [O, I], b [O] -> [N, O].
Variable linear(const Variable& x, const Variable& w, const Variable& b);

/// logits [N, K], labels i64 [N] in [0, K), class_weights f32 [K] or undefined -> f32 scalar, as
/// torch.nn.functional.cross_entropy with reduction="mean". Throws CheckError on a CPU for a label out of range; a GPU,
/// which would have to be waited for, makes the loss NaN.
Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels, const Tensor& class_weights,
                               const SoftmaxCrossEntropyOptions& options);

/// As softmax_cross_entropy, and f32 [] of how many rows have their largest logit, the first of equals, at their label.
struct LossAndCorrect {
  Variable loss;
  Tensor correct;
};
LossAndCorrect counted_softmax_cross_entropy(const Variable& logits, const Tensor& labels,
                                             const Tensor& class_weights,
                                             const SoftmaxCrossEntropyOptions& options);
/// [N, K] -> f32 probabilities; constant.
Tensor softmax(const Tensor& logits);

/// Elementwise sum of equal shapes and types.
Variable add(const Variable& a, const Variable& b);
Variable relu(const Variable& x);
/// Zeroes elements with `probability` and scales the rest by 1 / (1 - probability).
Variable dropout(const Variable& x, const DropoutOptions& options);
/// To another floating type; the gradient comes back in x's.
Variable cast(const Variable& x, DType dtype);

/// Raw u8 images [N, H, W, C] to the network's input; see PreprocessOptions. Constant. Throws CheckError
/// where a crop does not fit the image.
Tensor preprocess(const Tensor& images, std::span<const View> views, const PreprocessOptions& options);
/// The same into a tensor of the result's shape, type and device.
void preprocess_into(Tensor& y, const Tensor& images, std::span<const View> views,
                     const PreprocessOptions& options);

/// sums i64 [C + 1, C] += over the pixels of x u8 [..., C] (C from 1 to 8, same device): row 0 the channels' sums, row
/// 1 + i those of channel i times each channel. Exact; up to 2^47 pixels fit.
void channel_sums(const Tensor& x, Tensor& sums);

}  // namespace cytograd
