#include "engine/backend_cuda.h"
#include "kernels/max_pool2d.h"

namespace cytograd {
namespace {

MaxPool2dSizes sizes(const Shape& x, DType dtype, const MaxPool2dOptions& options) {
  CHECK(x[1] > 0 && x[2] > 0, "x of {} x {} pixels", x[1], x[2]);
  return {.images = x[0],
          .height = x[1],
          .width = x[2],
          .rows = options.output_extent(x[1]),
          .columns = options.output_extent(x[2]),
          .channels = x[3],
          .window = static_cast<int>(options.window),
          .stride = static_cast<int>(options.stride),
          .padding = static_cast<int>(options.padding),
          .type = element_type(dtype)};
}

}  // namespace

Backend::MaxPool2dForward CudaBackend::max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  const device::Range range("max_pool2d");
  const MaxPool2dSizes s = sizes(x.shape(), x.dtype(), options);
  const Shape y_shape = options.output_shape(x.shape());
  MaxPool2dForward result{empty(y_shape, x.dtype()), empty(y_shape, DType::u8)};
  launch_max_pool2d({.x = x.raw(), .y = result.y.raw(), .index = result.index.data<uint8_t>(), .sizes = s},
                    stream());
  return result;
}

Tensor CudaBackend::max_pool2d_backward(const Tensor& dy, const Tensor& index, const Shape& x_shape,
                                        const MaxPool2dOptions& options) {
  const device::Range range("max_pool2d_backward");
  Tensor dx = empty(x_shape, dy.dtype());
  launch_max_pool2d_backward({.dy = dy.raw(),
                              .index = index.data<uint8_t>(),
                              .dx = dx.raw(),
                              .sizes = sizes(x_shape, dy.dtype(), options)},
                             stream());
  return dx;
}

}  // namespace cytograd
