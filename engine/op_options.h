// Parameters of the ops, shared by their public functions and the backends.
#pragma once

#include <array>
#include <cstdint>

#include "engine/colour_table.h"
#include "engine/tensor.h"

namespace cytograd {

/// How a device goes about its work.
struct DeviceOptions {
  bool deterministic = false;  ///< only algorithms that give the same bits each time
  bool autotune = false;  ///< measure the candidates for each new convolution and keep the fastest: not both
};

/// Square stride and symmetric zero padding, in pixels.
struct Conv2dOptions {
  int64_t stride = 1;
  int64_t padding = 0;

  /// Rows or columns of the result for `extent` of the input and a window of `window`.
  int64_t output_extent(int64_t extent, int64_t window) const {
    return (extent + 2 * padding - window) / stride + 1;
  }

  /// [N, H', W', O] for x [N, H, W, I] and w [O, kh, kw, I].
  Shape output_shape(const Shape& x, const Shape& w) const {
    return {x[0], output_extent(x[1], w[1]), output_extent(x[2], w[2]), w[0]};
  }
};

struct MaxPool2dOptions {
  int64_t window = 3;
  int64_t stride = 2;
  int64_t padding = 1;

  int64_t output_extent(int64_t extent) const { return (extent + 2 * padding - window) / stride + 1; }

  /// [N, H', W', C] for x [N, H, W, C].
  Shape output_shape(const Shape& x) const { return {x[0], output_extent(x[1]), output_extent(x[2]), x[3]}; }
};

struct BatchnormActOptions {
  float epsilon = 1e-5f;
  float momentum = 0.1f;  ///< running = (1 - momentum) * running + momentum * batch, as PyTorch
  bool relu = false;
};

struct SoftmaxCrossEntropyOptions {
  float label_smoothing = 0.0f;  ///< target = (1 - s) * one_hot + s / classes, as PyTorch
};

/// Draws come from Philox keyed by (seed, offset + step): element i is dropped by draw i.
struct DropoutOptions {
  float probability = 0.5f;
  uint64_t seed = 0;
  uint64_t offset = 0;
  Tensor step =
      {};  ///< i64 [] on x's device, read when the op runs, so that captured work draws anew; undefined: 0
};

enum class Fusion : uint8_t { none, colormap, linear };
enum class Normalization : uint8_t {
  unit,   ///< u8 / 255
  image,  ///< (v - mean) / (std + 1e-3), statistics of each image and channel over the pixels the network
          ///< gets
};

/// How raw images become the network's input, in this order: fusion, shrink (mean of K x K pixels), crop,
/// mirror, quarter turns, normalisation, brightness.
struct PreprocessOptions {
  static constexpr int64_t kMaxChannels = 8;

  Fusion fusion = Fusion::none;
  ColourTable colormap{};  ///< of C channels; for Fusion::colormap
  Tensor linear_weight{};  ///< f32 [K, C]: fused = weight * v + bias; for Fusion::linear
  Tensor linear_bias{};    ///< f32 [K]
  int64_t shrink = 1;
  int64_t crop_height = 0;  ///< of the shrunk image; 0: all of it
  int64_t crop_width = 0;
  Normalization normalization = Normalization::image;
  DType dtype = DType::f32;  ///< of the result
};

/// One image's geometry and brightness.
struct View {
  int64_t top = 0;  ///< of the crop, in shrunk pixels
  int64_t left = 0;
  bool mirror = false;        ///< left to right, before the turns
  int32_t quarter_turns = 0;  ///< counter-clockwise, 0 to 3, as numpy.rot90; odd ones need a square crop
  std::array<float, PreprocessOptions::kMaxChannels> gain{1, 1, 1, 1, 1, 1, 1, 1};  ///< after normalisation
  std::array<float, PreprocessOptions::kMaxChannels> offset{};                      ///< after the gain
};

/// One parameter's tensors in a multi-tensor optimizer step. All f32 and of one shape; dw may be any floating
/// type.
struct OptimizerTerm {
  Tensor w;  ///< updated in place
  Tensor dw;
  Tensor first;               ///< momentum or first moment, updated in place
  Tensor second;              ///< AdamW's second moment, updated in place; undefined for SGD
  float weight_decay = 0.0f;  ///< decoupled: w -= learning_rate * weight_decay * w
};

struct SgdOptions {
  float momentum = 0.9f;
  bool nesterov = false;
};

struct AdamwOptions {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
};

}  // namespace cytograd
