#include "engine/backend_cpu.h"
#include "engine/onednn.h"
#include "engine/ops/bf16_cpu.h"
#include "engine/ops/conv2d_taps_cpu.h"
#include "engine/ops/conv2d_winograd_cpu.h"

namespace cytograd {
namespace {

void check_type(const Tensor& x) {
  if (x.dtype() == DType::f16) fail("the CPU does not convolve in f16; use bf16 or f32");
}

// oneDNN's direct convolution serves every shape and type; in f32 few pixels, and windows of 3x3, have faster ways.
bool are_f32(const Tensor& activations, const Tensor& w) {
  return activations.dtype() == DType::f32 && w.dtype() == DType::f32;
}

bool prefers_taps(conv2d_taps::Op op, const Tensor& activations, const Shape& x_shape, const Tensor& w,
                  const Conv2dOptions& options) {
  return are_f32(activations, w) && conv2d_taps::preferred(op, x_shape, w.shape(), options);
}

bool prefers_winograd(const Tensor& activations, const Shape& x_shape, const Tensor& w,
                      const Conv2dOptions& options) {
  return are_f32(activations, w) && conv2d_winograd::preferred(x_shape, w.shape(), options);
}

}  // namespace

Tensor CpuBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  check_type(x);
  if (must_widen(x.dtype())) return cast(conv2d(widened(*this, x), widened(*this, w), options), x.dtype());
  if (prefers_taps(conv2d_taps::Op::forward, x, x.shape(), w, options))
    return conv2d_taps::forward(x, w, options);
  if (prefers_winograd(x, x.shape(), w, options)) return conv2d_winograd::forward(x, w, options);
  return plans_->conv2d(x, w, options);
}

Tensor CpuBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                         const Conv2dOptions& options) {
  check_type(dy);
  if (must_widen(dy.dtype()))
    return cast(conv2d_backward_input(widened(*this, dy), widened(*this, w), x_shape, options), dy.dtype());
  if (prefers_taps(conv2d_taps::Op::backward_input, dy, x_shape, w, options))
    return conv2d_taps::backward_input(dy, w, x_shape, options);
  if (prefers_winograd(dy, x_shape, w, options))
    return conv2d_winograd::backward_input(dy, w, x_shape, options);
  return plans_->conv2d_backward_input(dy, w, x_shape, options);
}

Tensor CpuBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                          const Conv2dOptions& options) {
  check_type(x);
  if (must_widen(x.dtype())) {
    const Tensor like_w = w.dtype() == DType::f32 ? w : Tensor::empty(w.shape());  // its values are not read
    const Tensor dw = conv2d_backward_weight(widened(*this, dy), widened(*this, x), like_w, options);
    return w.dtype() == DType::f32 ? dw : cast(dw, w.dtype());
  }
  if (prefers_taps(conv2d_taps::Op::backward_weight, x, x.shape(), w, options))
    return conv2d_taps::backward_weight(dy, x, w.shape(), options);
  if (prefers_winograd(x, x.shape(), w, options))
    return conv2d_winograd::backward_weight(dy, x, w.shape(), options);
  return plans_->conv2d_backward_weight(dy, x, w, options);
}

}  // namespace cytograd
