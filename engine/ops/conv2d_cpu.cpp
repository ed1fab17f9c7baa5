#include "engine/backend_cpu.h"
#include "engine/onednn.h"
#include "engine/ops/bf16_cpu.h"
#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/conv2d_taps_cpu.h"
#include "engine/ops/conv2d_way_cpu.h"
#include "engine/ops/conv2d_winograd_cpu.h"

namespace cytograd {
namespace {

void check_type(const Tensor& x) {
  if (x.dtype() == DType::f16) fail("the CPU does not convolve in f16; use bf16 or f32");
}

Conv2dWay way(Conv2dPass pass, const Tensor& activations, const Shape& x_shape, const Tensor& w,
              const Conv2dOptions& options) {
  const DType dtype = must_widen(activations.dtype()) ? DType::f32 : activations.dtype();
  const bool is_float = dtype == DType::f32 || dtype == DType::bf16;
  if (!is_float || w.dtype() != DType::f32) return Conv2dWay::direct;
  return conv2d_way({.pass = pass,
                     .x = x_shape,
                     .w = w.shape(),
                     .options = options,
                     .dtype = dtype,
                     .vectors = cpu_info().vectors});
}

/// bf16 where the processor does not compute it, or another way is faster, which is f32's then too.
bool is_widened(const Tensor& activations, Conv2dWay way) {
  const DType dtype = activations.dtype();
  return must_widen(dtype) || (dtype == DType::bf16 && way != Conv2dWay::direct);
}

}  // namespace

Tensor CpuBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  check_type(x);
  const Conv2dWay fastest = way(Conv2dPass::forward, x, x.shape(), w, options);
  if (is_widened(x, fastest))
    return cast(conv2d(widened(*this, x), widened_weights(*this, w), options), x.dtype());
  switch (fastest) {
    case Conv2dWay::taps:
      return conv2d_taps::forward(x, w, options);
    case Conv2dWay::winograd:
      return conv2d_winograd::forward(x, w, options);
    case Conv2dWay::product:
      return conv2d_product::forward(x, w, options);
    case Conv2dWay::direct:
      break;
  }
  return plans_->conv2d(x, w, options);
}

Tensor CpuBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                         const Conv2dOptions& options) {
  check_type(dy);
  const Conv2dWay fastest = way(Conv2dPass::backward_input, dy, x_shape, w, options);
  if (is_widened(dy, fastest) || !OnednnPlans::computes_input_gradient(dy, w))
    return cast(conv2d_backward_input(widened(*this, dy), widened(*this, w), x_shape, options), dy.dtype());
  switch (fastest) {
    case Conv2dWay::taps:
      return conv2d_taps::backward_input(dy, w, x_shape, options);
    case Conv2dWay::winograd:
      return conv2d_winograd::backward_input(dy, w, x_shape, options);
    case Conv2dWay::product:
      return conv2d_product::backward_input(dy, w, x_shape, options);
    case Conv2dWay::direct:
      break;
  }
  return plans_->conv2d_backward_input(dy, w, x_shape, options);
}

Tensor CpuBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                          const Conv2dOptions& options) {
  check_type(x);
  const Conv2dWay fastest = way(Conv2dPass::backward_weight, x, x.shape(), w, options);
  const bool by_onednn = OnednnPlans::computes_weight_gradient(x, w.shape(), options);
  if (is_widened(x, fastest) || (x.dtype() == DType::bf16 && !by_onednn)) {
    const Tensor like_w = w.dtype() == DType::f32 ? w : Tensor::empty(w.shape());  // its values are not read
    const Tensor dw = conv2d_backward_weight(widened(*this, dy), widened(*this, x), like_w, options);
    return w.dtype() == DType::f32 ? dw : cast(dw, w.dtype());
  }
  switch (fastest) {
    case Conv2dWay::taps:
      return conv2d_taps::backward_weight(dy, x, w.shape(), options);
    case Conv2dWay::winograd:
      return conv2d_winograd::backward_weight(dy, x, w.shape(), options);
    case Conv2dWay::product:
      return conv2d_product::backward_weight(dy, x, w.shape(), options);
    case Conv2dWay::direct:
      if (!by_onednn) return conv2d_product::backward_weight(dy, x, w.shape(), options);
      break;
  }
  return plans_->conv2d_backward_weight(dy, x, w, options);
}

}  // namespace cytograd
