// Convolutions of images, folded so that they suit tensor cores: those take channels of 16 bits by eight, and cuDNN's
// kernels for other numbers take several times as long. Blocks of stride x stride pixels become pixels of stride^2
// times the channels, with zeros up to a multiple of eight, and the window goes over those by ones. With window K,
// stride S, padding P, let B = ceil(P / S). Output i reads pixels i S - P to i S - P + K - 1, which are in T blocks
// from i - B on:
//   y[i] = sum over u of x[i S - P + u] w[u] = sum over r < T, s < S of x'[i + r][s] w'[r][s],
//   x'[j][s] = x[(j - B) S + s], w'[r][s] = w[(r - B) S + P + s], zero beyond the edges.
#pragma once

#include "engine/op_options.h"
#include "engine/tensor.h"
#include "kernels/runtime.h"
#include "kernels/space_to_depth.h"

namespace cytograd {

/// Whether a convolution of so many input channels is folded. An eight-channel image with a stride is, too: each tap of
/// its window would be eight channels by itself.
bool is_folded(int64_t channels, DType dtype, const Conv2dOptions& options);

/// A folded convolution's tensors: x [N, H, W, I] and w [O, KH, KW, I] as blocks, which are convolved by kFoldedOptions
/// to the y [N, H', W', O] of the convolution by `options`.
class Fold {
 public:
  Fold(const Shape& x, const Shape& w, const Shape& y, const Conv2dOptions& options);

  Tensor blocks_of_x(const Tensor& x, device::Stream stream) const;
  Tensor blocks_of_w(const Tensor& w, device::Stream stream) const;
  /// Not initialised.
  Tensor empty_blocks_of_x(DType dtype) const;
  Tensor empty_blocks_of_w(DType dtype) const;
  Tensor x_of(const Tensor& blocks, device::Stream stream) const;
  Tensor w_of(const Tensor& blocks, device::Stream stream) const;

 private:
  SpaceToDepthSizes x_, w_;
};

constexpr Conv2dOptions kFoldedOptions{.stride = 1, .padding = 0};

}  // namespace cytograd
