// The weights' f32 master copy is converted to the activations' type for each call: a few MB beside the activations.
#include "engine/backend_cuda.h"
#include "engine/cudnn.h"
#include "engine/ops/conv2d_folded_cuda.h"

namespace cytograd {

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const device::Range range("conv2d");
  const Tensor weight = w.dtype() == x.dtype() ? w : cast(w, x.dtype());
  Tensor y = empty(options.output_shape(x.shape(), w.shape()), x.dtype());
  CudnnConvolutions& convolutions = libraries_->convolutions();
  if (is_folded(x.dim(3), x.dtype(), options)) {
    const Fold fold(x.shape(), w.shape(), y.shape(), options);
    convolutions.forward({.x = fold.blocks_of_x(x, stream()),
                          .w = fold.blocks_of_w(weight, stream()),
                          .y = y,
                          .options = kFoldedOptions});
  } else {
    convolutions.forward({.x = x, .w = weight, .y = y, .options = options});
  }
  return y;
}

Tensor CudaBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                          const Conv2dOptions& options) {
  const device::Range range("conv2d_backward_input");
  const Tensor weight = w.dtype() == dy.dtype() ? w : cast(w, dy.dtype());
  CudnnConvolutions& convolutions = libraries_->convolutions();
  if (is_folded(x_shape[3], dy.dtype(), options)) {
    const Fold fold(x_shape, w.shape(), dy.shape(), options);
    const Tensor blocks = fold.empty_blocks_of_x(dy.dtype());
    convolutions.backward_input(
        {.x = blocks, .w = fold.blocks_of_w(weight, stream()), .y = dy, .options = kFoldedOptions});
    return fold.x_of(blocks, stream());
  }
  Tensor dx = empty(x_shape, dy.dtype());
  convolutions.backward_input({.x = dx, .w = weight, .y = dy, .options = options});
  return dx;
}

Tensor CudaBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                           const Conv2dOptions& options) {
  const device::Range range("conv2d_backward_weight");
  CudnnConvolutions& convolutions = libraries_->convolutions();
  Tensor dw;
  if (is_folded(x.dim(3), x.dtype(), options)) {
    const Fold fold(x.shape(), w.shape(), dy.shape(), options);
    const Tensor blocks = fold.empty_blocks_of_w(x.dtype());
    convolutions.backward_weight(
        {.x = fold.blocks_of_x(x, stream()), .w = blocks, .y = dy, .options = kFoldedOptions});
    dw = fold.w_of(blocks, stream());
  } else {
    dw = empty(w.shape(), x.dtype());
    convolutions.backward_weight({.x = x, .w = dw, .y = dy, .options = options});
  }
  return dw.dtype() == w.dtype() ? dw : cast(dw, w.dtype());
}

}  // namespace cytograd
