// The weights' f32 master copy is converted to the activations' type for each call: a few MB beside the activations.
//
// Tensor cores take channels of 16 bits by eight; for other numbers cuDNN falls back to kernels several times slower. So
// an input of other channels, which is an image's, gets zeros beside them, and its weights too.
#include "engine/backend_cuda.h"
#include "engine/cudnn.h"
#include "kernels/pad_channels.h"

namespace cytograd {
namespace {

constexpr int64_t kGranule = 8;  // channels

Shape result_shape(const Shape& x, const Tensor& w, const Conv2dOptions& options) {
  return {x[0], options.output_extent(x[1], w.dim(1)), options.output_extent(x[2], w.dim(2)), w.dim(0)};
}

int64_t padded_channels(int64_t channels, DType dtype) {
  return dtype == DType::f32 ? channels : (channels + kGranule - 1) / kGranule * kGranule;
}

Shape with_channels(const Shape& shape, int64_t channels) { return {shape[0], shape[1], shape[2], channels}; }

/// [..., C] with other channels: zeros are added, or the last left out.
Tensor resized(const Tensor& x, int64_t channels, device::Stream stream) {
  if (x.dim(3) == channels) return x;
  Tensor y = Tensor::empty(with_channels(x.shape(), channels), x.dtype(), Device::cuda);
  launch_pad_channels({.x = x.raw(),
                       .y = y.raw(),
                       .rows = x.elements() / std::max<int64_t>(x.dim(3), 1),
                       .x_channels = x.dim(3),
                       .y_channels = channels,
                       .type = element_type(x.dtype())},
                      stream);
  return y;
}

}  // namespace

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const device::Range range("conv2d");
  const int64_t channels = padded_channels(x.dim(3), x.dtype());
  const Tensor weight = resized(w.dtype() == x.dtype() ? w : cast(w, x.dtype()), channels, stream());
  Tensor y = empty(result_shape(x.shape(), w, options), x.dtype());
  libraries_->convolutions().forward(
      {.x = resized(x, channels, stream()), .w = weight, .y = y, .options = options});
  return y;
}

Tensor CudaBackend::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                          const Conv2dOptions& options) {
  const device::Range range("conv2d_backward_input");
  const int64_t channels = padded_channels(x_shape[3], dy.dtype());
  const Tensor weight = resized(w.dtype() == dy.dtype() ? w : cast(w, dy.dtype()), channels, stream());
  Tensor dx = empty(with_channels(x_shape, channels), dy.dtype());
  libraries_->convolutions().backward_input({.x = dx, .w = weight, .y = dy, .options = options});
  return resized(dx, x_shape[3], stream());
}

Tensor CudaBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                           const Conv2dOptions& options) {
  const device::Range range("conv2d_backward_weight");
  const int64_t channels = padded_channels(x.dim(3), x.dtype());
  Tensor dw = empty(with_channels(w.shape(), channels), x.dtype());
  libraries_->convolutions().backward_weight(
      {.x = resized(x, channels, stream()), .w = dw, .y = dy, .options = options});
  dw = resized(dw, x.dim(3), stream());
  return dw.dtype() == w.dtype() ? dw : cast(dw, w.dtype());
}

}  // namespace cytograd
