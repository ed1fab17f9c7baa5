#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {
namespace {

/// The options with the crop's size. Throws CheckError where images, views and options do not fit each other.
PreprocessOptions checked(const Tensor& images, std::span<const View> views,
                          const PreprocessOptions& options) {
  (void)backend_of({&images});
  CHECK(images.rank() == 4 && images.dtype() == DType::u8, "images {} {}", dtype_name(images.dtype()),
        images.shape());
  CHECK(static_cast<int64_t>(views.size()) == images.dim(0), "{} views for {}", views.size(), images.shape());
  const int64_t channels = images.dim(3);
  CHECK(channels >= 1 && channels <= PreprocessOptions::kMaxChannels, "images {}", images.shape());
  if (options.fusion == Fusion::colormap) {
    const Tensor& shares = options.colormap.shares();
    CHECK(shares.shape() == Shape({channels, 256, 3}), "images {}, colormap {}", images.shape(),
          shares.shape());
    (void)backend_of({&images, &shares});
  }
  if (options.fusion == Fusion::linear) {
    const Shape& weight = options.linear_weight.shape();
    CHECK(weight.rank() == 2 && weight[1] == channels && weight[0] <= PreprocessOptions::kMaxChannels &&
              options.linear_bias.shape() == Shape{weight[0]},
          "images {}, weight {}, bias {}", images.shape(), weight, options.linear_bias.shape());
    (void)backend_of({&images, &options.linear_weight, &options.linear_bias});
  }
  CHECK(options.shrink >= 1, "shrink {}", options.shrink);

  PreprocessOptions resolved = options;
  const int64_t height = images.dim(1) / options.shrink;
  const int64_t width = images.dim(2) / options.shrink;
  if (resolved.crop_height == 0) resolved.crop_height = height;
  if (resolved.crop_width == 0) resolved.crop_width = width;
  CHECK(resolved.crop_height > 0 && resolved.crop_width > 0 && resolved.crop_height <= height &&
            resolved.crop_width <= width,
        "a crop of {} x {} from {} x {} pixels", resolved.crop_height, resolved.crop_width, height, width);
  for (const View& view : views) {
    CHECK(view.top >= 0 && view.left >= 0 && view.top <= height - resolved.crop_height &&
              view.left <= width - resolved.crop_width,
          "a crop of {} x {} at ({}, {}) from {} x {} pixels", resolved.crop_height, resolved.crop_width,
          view.top, view.left, height, width);
    CHECK(view.quarter_turns >= 0 && view.quarter_turns <= 3, "{} quarter turns", view.quarter_turns);
    CHECK(view.quarter_turns % 2 == 0 || resolved.crop_height == resolved.crop_width,
          "an odd quarter turn of {} x {} pixels", resolved.crop_height, resolved.crop_width);
  }
  return resolved;
}

Shape result_shape(const Tensor& images, const PreprocessOptions& resolved) {
  const int64_t channels = resolved.fusion == Fusion::linear     ? resolved.linear_weight.dim(0)
                           : resolved.fusion == Fusion::colormap ? 3
                                                                 : images.dim(3);
  return {images.dim(0), resolved.crop_height, resolved.crop_width, channels};
}

}  // namespace

Tensor preprocess(const Tensor& images, std::span<const View> views, const PreprocessOptions& options) {
  const PreprocessOptions resolved = checked(images, views, options);
  Tensor y = Tensor::empty(result_shape(images, resolved), options.dtype, images.device());
  backend(images.device()).preprocess(images, views, resolved, y);
  return y;
}

void preprocess_into(Tensor& y, const Tensor& images, std::span<const View> views,
                     const PreprocessOptions& options) {
  const PreprocessOptions resolved = checked(images, views, options);
  const Shape shape = result_shape(images, resolved);
  CHECK(y.shape() == shape && y.dtype() == options.dtype && y.device() == images.device(),
        "y is {} {} on {}, the result {} {} on {}", dtype_name(y.dtype()), y.shape(), device_name(y.device()),
        dtype_name(options.dtype), shape, device_name(images.device()));
  backend(images.device()).preprocess(images, views, resolved, y);
}

}  // namespace cytograd
