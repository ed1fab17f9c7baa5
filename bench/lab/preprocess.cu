// The way to kernels/preprocess.cu, a step a variant: fusion, shrink, crop, turns and normalisation of raw bytes.
#include "bench/lab/variant.h"
#include "kernels/device.cuh"
#include "kernels/preprocess.h"

namespace cytograd::bench {
namespace {

constexpr int kBlock = 256;

struct Affine {
  float centre, scale, shift;
};

/// What normalises a channel; see find_affine in engine/ops/preprocess_cpu.cpp.
__device__ Affine affine_of(const PreprocessArguments& arguments, int64_t image, int channel) {
  const FusedImages& images = arguments.images;
  const bool whole = images.fusion != FusionKind::linear;  // sums over the box, not means
  const double box = whole ? static_cast<double>(images.shrink) * images.shrink : 1.0;
  double mean = 0.0, factor = 1.0 / (255.0 * box);
  if (arguments.moments != nullptr) {
    double sum = 0.0, square = 0.0;
    for (int part = 0; part < arguments.parts; ++part) {
      const ChannelMoments& m =
          arguments.moments[(image * arguments.parts + part) * arguments.moment_channels + channel];
      sum += m.sum;
      square += m.square;
    }
    const auto pixels = static_cast<double>(images.rows * images.columns);
    mean = sum / pixels;
    factor = 1.0 / (sqrt(fmax(0.0, square / pixels - mean * mean)) + 1e-3 * box);
  }
  const double centre = whole ? rint(mean) : static_cast<double>(static_cast<float>(mean));
  const double scale = factor * static_cast<double>(images.views[image].gain[channel]);
  const double offset = static_cast<double>(images.views[image].offset[channel]);
  return {static_cast<float>(centre), static_cast<float>(scale),
          static_cast<float>((centre - mean) * scale + offset)};
}

/// The first raw byte under y's pixel [i, j].
__device__ const uint8_t* raw_pixel(const FusedImages& images, int64_t image, int64_t i, int64_t j) {
  const ImageView& view = images.views[image];
  const int64_t h = images.rows, w = images.columns;
  int64_t row = i, column = j;
  if (view.quarter_turns == 1) row = j, column = w - 1 - i;
  if (view.quarter_turns == 2) row = h - 1 - i, column = w - 1 - j;
  if (view.quarter_turns == 3) row = h - 1 - j, column = i;
  if (view.mirror != 0) column = w - 1 - column;
  const int64_t y = (view.top + row) * images.shrink, x = (view.left + column) * images.shrink;
  return images.images + ((image * images.height + y) * images.width + x) * images.channels;
}

/// A channel of a pixel after fusion, over its box of raw pixels.
__device__ float fused_value(const FusedImages& images, const uint8_t* raw, int channel) {
  const int64_t pitch = images.width * images.channels;
  float value = images.fusion == FusionKind::linear ? images.bias[channel] : 0.0f;
  if (images.fusion == FusionKind::linear) {
    const auto pixels = static_cast<float>(images.shrink * images.shrink);
    for (int c = 0; c < images.channels; ++c) {
      uint32_t sum = 0;
      for (int i = 0; i < images.shrink; ++i) {
        for (int j = 0; j < images.shrink; ++j) sum += raw[i * pitch + j * images.channels + c];
      }
      value += images.weight[channel * images.channels + c] / pixels * static_cast<float>(sum);
    }
    return value;
  }
  uint32_t total = 0;
  for (int i = 0; i < images.shrink; ++i) {
    for (int j = 0; j < images.shrink; ++j) {
      const uint8_t* pixel = raw + i * pitch + j * images.channels;
      if (images.fusion == FusionKind::none) {
        total += pixel[channel];
        continue;
      }
      uint32_t colour = 0;
      for (int c = 0; c < images.channels; ++c) colour += images.colormap[(c * 256 + pixel[c]) * 3 + channel];
      total += colour < 255 ? colour : 255;
    }
  }
  return static_cast<float>(total);
}

template <typename Y>
__device__ void write(const FusedImages& images, const uint8_t* raw, int channel, const Affine& affine,
                      Y* to) {
  *to = Y((fused_value(images, raw, channel) - affine.centre) * affine.scale + affine.shift);
}

/// A thread an element, on its own in all.
template <typename Y>
__global__ void naive_kernel(PreprocessArguments arguments) {
  const FusedImages& images = arguments.images;
  const int64_t an_image = images.rows * images.columns * images.fused;
  const int64_t i = global_thread();
  if (i >= images.count * an_image) return;
  const int64_t image = i / an_image, pixel = i % an_image / images.fused;
  const int channel = static_cast<int>(i % images.fused);
  write(images, raw_pixel(images, image, pixel / images.columns, pixel % images.columns), channel,
        affine_of(arguments, image, channel), static_cast<Y*>(arguments.y) + i);
}

struct AffineShared {
  Affine of[kMaxImageChannels];
};

/// A thread a pixel; a block, all of one image, finds what normalises once.
template <typename Y>
__global__ void pixels_kernel(PreprocessArguments arguments) {
  const FusedImages& images = arguments.images;
  auto& shared = block_shared<AffineShared>();
  const int64_t image = blockIdx.y;
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < images.fused) shared.of[thread] = affine_of(arguments, image, thread);
  __syncthreads();
  const int64_t pixels = images.rows * images.columns;
  for (int64_t pixel = global_thread(); pixel < pixels; pixel += grid_threads()) {
    const uint8_t* raw = raw_pixel(images, image, pixel / images.columns, pixel % images.columns);
    Y* to = static_cast<Y*>(arguments.y) + (image * pixels + pixel) * images.fused;
    for (int channel = 0; channel < images.fused; ++channel)
      write(images, raw, channel, shared.of[channel], to + channel);
  }
}

void launch_naive(const PreprocessArguments& arguments, device::Stream stream) {
  const FusedImages& images = arguments.images;
  const int64_t elements = images.count * images.rows * images.columns * images.fused;
  if (elements == 0) return;
  dispatch_element(arguments.type, [&]<typename Y>(ElementTag<Y>) {
    launch("preprocess_naive", naive_kernel<Y>,
           {.grid = {static_cast<unsigned>((elements + kBlock - 1) / kBlock)},
            .block = {kBlock},
            .stream = stream},
           arguments);
  });
}

void launch_pixels(const PreprocessArguments& arguments, device::Stream stream) {
  const FusedImages& images = arguments.images;
  const int64_t pixels = images.rows * images.columns;
  if (images.count * pixels == 0) return;
  dispatch_element(arguments.type, [&]<typename Y>(ElementTag<Y>) {
    launch("preprocess_pixels", pixels_kernel<Y>,
           {.grid = {blocks_for(pixels, 4, kBlock), static_cast<unsigned>(images.count)},
            .block = {kBlock},
            .stream = stream},
           arguments);
  });
}

const AddVariant<PreprocessArguments> naive("naive", "a thread an element, which finds everything for itself",
                                            launch_naive);
const AddVariant<PreprocessArguments> pixels("pixels", "a thread a pixel; a block finds once what normalises",
                                             launch_pixels);
// production: tiles go through shared memory in accesses of 16 bytes, whichever way the image is turned.

}  // namespace
}  // namespace cytograd::bench
