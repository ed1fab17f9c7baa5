#include <algorithm>
#include <vector>

#include "engine/backend_cuda.h"
#include "kernels/preprocess.h"

namespace cytograd {
namespace {

static_assert(kMaxImageChannels == PreprocessOptions::kMaxChannels);

constexpr int64_t kMaxShrink = 4096;  // the sum of a box fits 32 bits

FusionKind fusion_kind(Fusion fusion) {
  return fusion == Fusion::colormap ? FusionKind::colormap
         : fusion == Fusion::linear ? FusionKind::linear
                                    : FusionKind::none;
}

ImageView image_view(const View& view) {
  ImageView result{
      .top = view.top, .left = view.left, .mirror = view.mirror ? 1 : 0, .quarter_turns = view.quarter_turns};
  std::copy(view.gain.begin(), view.gain.end(), result.gain);
  std::copy(view.offset.begin(), view.offset.end(), result.offset);
  return result;
}

/// Room for `count` of T on the device. The stream orders all work, so that it may go back while work is queued.
template <typename T>
Tensor room_for(int64_t count) {
  return Tensor::empty({count * static_cast<int64_t>(sizeof(T))}, DType::u8, Device::cuda);
}

}  // namespace

void CudaBackend::preprocess(const Tensor& images, std::span<const View> views,
                             const PreprocessOptions& options, Tensor& y) {
  preprocess_by(launch_preprocess, images, views, options, y);
}

void CudaBackend::preprocess_by(Launcher<PreprocessArguments> launcher, const Tensor& images,
                                std::span<const View> views, const PreprocessOptions& options, Tensor& y) {
  const device::Range range("preprocess");
  CHECK(options.shrink <= kMaxShrink, "shrink {}", options.shrink);
  FusedImages source{.images = images.data<uint8_t>(),
                     .count = images.dim(0),
                     .height = images.dim(1),
                     .width = images.dim(2),
                     .channels = static_cast<int32_t>(images.dim(3)),
                     .fused = static_cast<int32_t>(y.dim(3)),
                     .shrink = static_cast<int32_t>(options.shrink),
                     .fusion = fusion_kind(options.fusion),
                     .rows = options.crop_height,
                     .columns = options.crop_width};
  if (options.fusion == Fusion::colormap) {
    const Tensor& shares = options.colormap.shares();
    source.colormap = shares.data<uint8_t>();
    const std::vector<ColourRamp>& ramps = options.colormap.ramps();
    source.ramps = static_cast<int32_t>(ramps.size());
    std::transform(ramps.begin(), ramps.end(), source.ramp, [](const ColourRamp& ramp) {
      return FusedImages::Ramp{ramp.scale, {ramp.colour[0], ramp.colour[1], ramp.colour[2]}};
    });
  }
  if (options.fusion == Fusion::linear) {
    source.weight = options.linear_weight.data<float>();
    source.bias = options.linear_bias.data<float>();
  }
  if (y.elements() == 0) return;

  std::vector<ImageView> on_host;
  std::transform(views.begin(), views.end(), std::back_inserter(on_host), image_view);
  const Tensor table = constant(on_host.data(), on_host.size() * sizeof(ImageView));
  source.views = static_cast<const ImageView*>(table.raw());

  PreprocessArguments arguments{.images = source, .y = y.raw(), .type = element_type(options.dtype)};
  Tensor moments;
  if (options.normalization == Normalization::image) {
    const auto side = static_cast<double>(options.shrink), box = 255.0 * side * side;
    const double squares = static_cast<double>(source.rows * source.columns) * box * box;
    CHECK(options.fusion == Fusion::linear || squares < 0x1p64,
          "{} x {} pixels of {} x {} each: their squares may not fit 64 bits", source.rows, source.columns,
          options.shrink, options.shrink);
    arguments.parts = statistics_parts(source);
    arguments.moment_channels = statistics_channels(source);
    moments = room_for<ChannelMoments>(source.count * arguments.parts * arguments.moment_channels);
    arguments.moments = static_cast<const ChannelMoments*>(moments.raw());
    launch_image_statistics(source, arguments.parts, static_cast<ChannelMoments*>(moments.raw()), stream());
  }
  launcher(arguments, stream());
}

}  // namespace cytograd
