// Turns an op's sizes and options into a case: names its inputs, and runs it through engine/ops.h.
#pragma once

#include "tests/op_case.h"

namespace cytograd::test {

/// Inputs are rounded before: of an op with weights each product has a rounded weight, and the result is rounded.
inline void round_weights_too(OpCase& c) {
  c.bf16_tolerance = 0x1p-7;
  c.bf16_tolerance_reason = "each weight and each result is rounded once, by 2^-8 of itself at most";
}

inline OpCase conv2d_case(const std::string& name, const Shape& x, const Shape& w,
                          const Conv2dOptions& options) {
  OpCase c{.name = "conv2d/" + name, .op = "conv2d"};
  c.inputs = {{.name = "x", .shape = x}, {.name = "w", .shape = w, .role = Role::parameter}};
  c.attributes = {{"stride", options.stride}, {"padding", options.padding}};
  c.run = [options](std::span<const Variable> in) -> CaseOutputs {
    return {conv2d(in[0], in[1], options), {}};
  };
  c.step = 0x1p-2f;  // linear in each input: no truncation error
  round_weights_too(c);
  return c;
}

enum class Residual : uint8_t { none, added };

inline OpCase batchnorm_act_case(const std::string& name, const Shape& x, Residual residual,
                                 const BatchnormActOptions& options) {
  OpCase c{.name = "batchnorm_act/" + name, .op = "batchnorm_act"};
  const Shape channels{x[x.rank() - 1]};
  // Without a residual x keeps away from its mean, and with one the residual outweighs the rest: what enters
  // the ReLU then keeps away from 0.
  const bool added = residual == Residual::added;
  c.inputs = {
      {.name = "x", .shape = x, .fill = added || !options.relu ? Fill::uniform : Fill::split, .low = -1.0f},
      {.name = "gamma", .shape = channels, .role = Role::parameter, .low = 0.5f, .range = 0.5f},
      {.name = "beta", .shape = channels, .role = Role::parameter, .low = -0.125f, .range = 0.25f},
      {.name = "running_mean", .shape = channels, .role = Role::constant},
      {.name = "running_var", .shape = channels, .role = Role::constant, .low = 0.5f, .range = 1.0f}};
  if (c.inputs[0].fill == Fill::split) c.inputs[0].low = 0.75f;
  if (added) {
    c.inputs.push_back(
        {.name = "residual", .shape = x, .fill = options.relu ? Fill::split : Fill::uniform, .low = -1.0f});
    if (options.relu) c.inputs.back().low = 2.5f;
  }
  c.attributes = {
      {"epsilon", options.epsilon}, {"momentum", options.momentum}, {"relu", options.relu ? 1 : 0}};
  c.run = [options](std::span<const Variable> in) -> CaseOutputs {
    const BatchnormParameters parameters{in[1], in[2], in[3].value(), in[4].value()};
    const Variable added_to = in.size() > 5 ? in[5] : Variable();
    return {batchnorm_act(in[0], parameters, added_to, options),
            {{"running_mean", parameters.running_mean}, {"running_var", parameters.running_var}}};
  };
  return c;
}

/// The same inputs, with the running statistics in place of the batch's.
inline OpCase batchnorm_act_eval_case(const std::string& name, const Shape& x, Residual residual,
                                      const BatchnormActOptions& options) {
  OpCase c = batchnorm_act_case("eval_" + name, x, residual, options);
  c.op = "batchnorm_act_eval";
  c.run = [options](std::span<const Variable> in) -> CaseOutputs {
    const BatchnormParameters parameters{in[1], in[2], in[3].value(), in[4].value()};
    const Tensor added_to = in.size() > 5 ? in[5].value() : Tensor();
    return {batchnorm_act_eval(in[0].value(), parameters, added_to, options),
            {{"running_mean", parameters.running_mean}, {"running_var", parameters.running_var}}};
  };
  c.differentiable = false;
  return c;
}

inline OpCase max_pool2d_case(const std::string& name, const Shape& x, const MaxPool2dOptions& options) {
  OpCase c{.name = "max_pool2d/" + name, .op = "max_pool2d"};
  c.inputs = {{.name = "x", .shape = x, .fill = Fill::distinct}};
  c.attributes = {{"window", options.window}, {"stride", options.stride}, {"padding", options.padding}};
  c.run = [options](std::span<const Variable> in) -> CaseOutputs { return {max_pool2d(in[0], options), {}}; };
  // Linear while no maximum moves, and neighbours on the grid are 2 / elements apart.
  c.step = std::exp2(std::floor(std::log2(0.4f / static_cast<float>(x.elements()))));
  return c;
}

inline OpCase global_avg_pool_case(const std::string& name, const Shape& x) {
  OpCase c{.name = "global_avg_pool/" + name, .op = "global_avg_pool"};
  c.inputs = {{.name = "x", .shape = x}};
  c.run = [](std::span<const Variable> in) -> CaseOutputs { return {global_avg_pool(in[0]), {}}; };
  c.step = 0x1p-2f;
  return c;
}

inline OpCase linear_case(const std::string& name, int64_t batch, int64_t in_features, int64_t out_features) {
  OpCase c{.name = "linear/" + name, .op = "linear"};
  c.inputs = {{.name = "x", .shape = {batch, in_features}},
              {.name = "w", .shape = {out_features, in_features}, .role = Role::parameter},
              {.name = "b", .shape = {out_features}, .role = Role::parameter}};
  c.run = [](std::span<const Variable> in) -> CaseOutputs { return {linear(in[0], in[1], in[2]), {}}; };
  c.step = 0x1p-2f;
  round_weights_too(c);
  return c;
}

enum class ClassWeights : uint8_t { none, drawn };

struct SoftmaxCrossEntropyCase {
  int64_t batch = 1;
  int64_t classes = 2;
  float range = 8.0f;  ///< logits lie in +-range / 2
  ClassWeights weights = ClassWeights::none;
  SoftmaxCrossEntropyOptions options = {};
};

inline OpCase softmax_cross_entropy_case(const std::string& name, const SoftmaxCrossEntropyCase& sizes) {
  OpCase c{.name = "softmax_cross_entropy/" + name, .op = "softmax_cross_entropy"};
  c.inputs = {{.name = "logits",
               .shape = {sizes.batch, sizes.classes},
               .low = -sizes.range / 2,
               .range = sizes.range},
              {.name = "labels",
               .shape = {sizes.batch},
               .role = Role::constant,
               .fill = Fill::below,
               .range = static_cast<float>(sizes.classes),
               .dtype = DType::i64}};
  if (sizes.weights == ClassWeights::drawn) {
    c.inputs.push_back({.name = "class_weights",
                        .shape = {sizes.classes},
                        .role = Role::constant,
                        .low = 0.5f,
                        .range = 2.0f});
  }
  c.attributes = {{"label_smoothing", sizes.options.label_smoothing}};
  c.run = [options = sizes.options](std::span<const Variable> in) -> CaseOutputs {
    const Tensor weights = in.size() > 2 ? in[2].value() : Tensor();
    return {softmax_cross_entropy(in[0], in[1].value(), weights, options), {}};
  };
  // One f32 number comes out, so its rounding does not average: 6e-8 / 2^-4, against gradients near 1.
  c.step = 0x1p-4f;
  c.gradient_tolerance = 2e-4;
  return c;
}

inline OpCase softmax_case(const std::string& name, int64_t batch, int64_t classes, float range) {
  OpCase c{.name = "softmax/" + name, .op = "softmax"};
  c.inputs = {{.name = "logits", .shape = {batch, classes}, .low = -range / 2, .range = range}};
  c.run = [](std::span<const Variable> in) -> CaseOutputs { return {softmax(in[0].value()), {}}; };
  c.differentiable = false;
  return c;
}

inline OpCase add_case(const std::string& name, const Shape& shape) {
  OpCase c{.name = "add/" + name, .op = "add"};
  c.inputs = {{.name = "a", .shape = shape}, {.name = "b", .shape = shape}};
  c.run = [](std::span<const Variable> in) -> CaseOutputs { return {add(in[0], in[1]), {}}; };
  c.step = 0x1p-2f;
  c.tolerance = 1e-7;
  c.tolerance_reason = "one rounding";
  return c;
}

inline OpCase relu_case(const std::string& name, const Shape& shape) {
  OpCase c{.name = "relu/" + name, .op = "relu"};
  c.inputs = {{.name = "x", .shape = shape, .fill = Fill::split, .low = 0.5f}};
  c.run = [](std::span<const Variable> in) -> CaseOutputs { return {relu(in[0]), {}}; };
  c.step = 0x1p-3f;  // twice it is below the gap of 0.5
  c.tolerance = 0.0;
  c.tolerance_reason = "nothing is rounded";
  return c;
}

inline OpCase dropout_case(const std::string& name, const Shape& shape, const DropoutOptions& options) {
  OpCase c{.name = "dropout/" + name, .op = "dropout"};
  c.inputs = {{.name = "x", .shape = shape}};
  c.attributes = {{"probability", options.probability},
                  {"seed", static_cast<double>(options.seed)},
                  {"offset", static_cast<double>(options.offset)}};
  c.run = [options](std::span<const Variable> in) -> CaseOutputs { return {dropout(in[0], options), {}}; };
  c.step = 0x1p-2f;
  c.tolerance = 2e-7;
  c.tolerance_reason = "the factor 1 / (1 - probability) and the product round once each";
  return c;
}

inline OpCase cast_case(const std::string& name, const Shape& shape, DType to) {
  OpCase c{.name = "cast/" + name, .op = "cast"};
  c.inputs = {{.name = "x", .shape = shape, .low = -4.0f, .range = 8.0f}};
  c.attributes = {{to == DType::bf16 ? "bf16" : "f16", 1}};
  c.run = [to](std::span<const Variable> in) -> CaseOutputs { return {cast(in[0], to), {}}; };
  c.tolerance = 0.0;
  c.tolerance_reason = "rounding to nearest even is exact by definition";
  c.gradient_tolerance = 0.0;  // rounding is a staircase: no difference quotient means anything
  return c;
}

struct PreprocessCase {
  Shape images;
  Fusion fusion = Fusion::none;
  int64_t fused = 0;  ///< channels after Fusion::linear
  int64_t shrink = 1;
  int64_t crop_height = 0;
  int64_t crop_width = 0;
  Normalization normalization = Normalization::image;
};

/// Views drawn at random: crop place, mirror, turns, gains in [0.75, 1.25), offsets in [-0.125, 0.125).
inline std::vector<View> draw_views(const PreprocessCase& sizes, const std::string& seed) {
  const int64_t height = sizes.images[1] / sizes.shrink;
  const int64_t width = sizes.images[2] / sizes.shrink;
  const int64_t crop_height = sizes.crop_height > 0 ? sizes.crop_height : height;
  const int64_t crop_width = sizes.crop_width > 0 ? sizes.crop_width : width;
  Philox philox(hash(seed), hash("views"));
  std::vector<View> views(static_cast<size_t>(sizes.images[0]));
  for (View& view : views) {
    view.top = philox.below(static_cast<uint64_t>(height - crop_height + 1));
    view.left = philox.below(static_cast<uint64_t>(width - crop_width + 1));
    view.mirror = philox.below(2) == 1;
    const auto turns = static_cast<int32_t>(philox.below(4));
    view.quarter_turns = crop_height == crop_width ? turns : turns / 2 * 2;
    for (float& gain : view.gain) gain = philox.uniform(0.75f, 1.25f);
    for (float& offset : view.offset) offset = philox.uniform(-0.125f, 0.125f);
  }
  return views;
}

inline OpCase preprocess_case(const std::string& name, const PreprocessCase& sizes) {
  OpCase c{.name = "preprocess/" + name, .op = "preprocess"};
  const int64_t channels = sizes.images[3];
  const auto constant = [&](const std::string& input, const Shape& shape) {
    c.inputs.push_back({.name = input, .shape = shape, .role = Role::constant});
  };
  constant("images", sizes.images);
  c.inputs[0] = {.name = "images",
                 .shape = sizes.images,
                 .role = Role::constant,
                 .fill = Fill::below,
                 .range = 256,
                 .dtype = DType::u8};
  if (sizes.fusion == Fusion::linear) {
    constant("linear_weight", {sizes.fused, channels});
    constant("linear_bias", {sizes.fused});
  } else if (sizes.fusion == Fusion::colormap) {
    c.inputs.push_back({.name = "colormap",
                        .shape = {channels, 256, 3},
                        .role = Role::constant,
                        .fill = Fill::below,
                        .range = 100,
                        .dtype = DType::u8});
  }
  c.attributes = {{"shrink", sizes.shrink},
                  {"crop_height", sizes.crop_height},
                  {"crop_width", sizes.crop_width},
                  {"normalize_image", sizes.normalization == Normalization::image ? 1 : 0}};
  c.run = [sizes, seed = c.name](std::span<const Variable> in) -> CaseOutputs {
    PreprocessOptions options;
    options.fusion = sizes.fusion;
    if (sizes.fusion == Fusion::linear) {
      options.linear_weight = in[1].value();
      options.linear_bias = in[2].value();
    }
    if (sizes.fusion == Fusion::colormap) options.colormap = ColourTable(in[1].value());
    options.shrink = sizes.shrink;
    options.crop_height = sizes.crop_height;
    options.crop_width = sizes.crop_width;
    options.normalization = sizes.normalization;
    return {preprocess(in[0].value(), draw_views(sizes, seed), options), {}};
  };
  c.differentiable = false;
  return c;
}

}  // namespace cytograd::test
