#include "engine/ops/conv2d_folded_cuda.h"

#include "engine/backend_cuda.h"

namespace cytograd {
namespace {

constexpr int64_t kGranule = 8;  // channels

Tensor empty_blocks(const SpaceToDepthSizes& sizes, DType dtype) {
  return Tensor::empty({sizes.images, sizes.rows, sizes.columns, sizes.depth}, dtype, Device::cuda);
}

Tensor blocks_of(const Tensor& pixels, const SpaceToDepthSizes& sizes, device::Stream stream) {
  Tensor blocks = empty_blocks(sizes, pixels.dtype());
  launch_space_to_depth(
      {.pixels = pixels.raw(), .blocks = blocks.raw(), .sizes = sizes, .type = element_type(pixels.dtype())},
      stream);
  return blocks;
}

Tensor pixels_of(const Tensor& blocks, const SpaceToDepthSizes& sizes, device::Stream stream) {
  Tensor pixels =
      Tensor::empty({sizes.images, sizes.height, sizes.width, sizes.channels}, blocks.dtype(), Device::cuda);
  launch_depth_to_space(
      {.blocks = blocks.raw(), .pixels = pixels.raw(), .sizes = sizes, .type = element_type(blocks.dtype())},
      stream);
  return pixels;
}

}  // namespace

bool is_folded(int64_t channels, DType dtype, const Conv2dOptions& options) {
  return dtype != DType::f32 && (channels % kGranule != 0 || (channels == kGranule && options.stride > 1));
}

Fold::Fold(const Shape& x, const Shape& w, const Shape& y, const Conv2dOptions& options) {
  const int64_t side = options.stride;
  const int64_t before = (options.padding + side - 1) / side;  // B
  const int64_t first = options.padding - before * side;       // of w, where the first block begins
  const auto taps = [&](int64_t window) { return (window - 1 - first) / side + 1; };
  w_ = {.images = w[0],
        .height = w[1],
        .width = w[2],
        .channels = w[3],
        .rows = taps(w[1]),
        .columns = taps(w[2]),
        .depth = (side * side * w[3] + kGranule - 1) / kGranule * kGranule,
        .side = side,
        .top = first,
        .left = first};
  x_ = {.images = x[0],
        .height = x[1],
        .width = x[2],
        .channels = x[3],
        .rows = y[1] + w_.rows - 1,
        .columns = y[2] + w_.columns - 1,
        .depth = w_.depth,
        .side = side,
        .top = -before * side,
        .left = -before * side};
}

Tensor Fold::blocks_of_x(const Tensor& x, device::Stream stream) const { return blocks_of(x, x_, stream); }
Tensor Fold::blocks_of_w(const Tensor& w, device::Stream stream) const { return blocks_of(w, w_, stream); }
Tensor Fold::empty_blocks_of_x(DType dtype) const { return empty_blocks(x_, dtype); }
Tensor Fold::empty_blocks_of_w(DType dtype) const { return empty_blocks(w_, dtype); }
Tensor Fold::x_of(const Tensor& blocks, device::Stream stream) const { return pixels_of(blocks, x_, stream); }
Tensor Fold::w_of(const Tensor& blocks, device::Stream stream) const { return pixels_of(blocks, w_, stream); }

}  // namespace cytograd
