// The one table of ops: odd sizes, batch 1, channels that no vector width divides, corners of the options,
// and for each op a size from training. See op_case.h for what reads it; a new op gets its rows here.
#pragma once

#include "tests/op_case_builders.h"

namespace cytograd::test {

inline void add_conv2d_cases(std::vector<OpCase>& cases) {
  cases.push_back(conv2d_case("1x1", {2, 5, 7, 3}, {4, 1, 1, 3}, {}));
  cases.push_back(conv2d_case("1x1_stride2", {3, 6, 7, 16}, {33, 1, 1, 16}, {.stride = 2}));
  // Shapes that oneDNN gets wrong (engine/onednn.h), in bf16 or in f32.
  cases.push_back(conv2d_case("1x1_odd_outputs", {1, 5, 6, 16}, {3, 1, 1, 16}, {}));
  cases.push_back(conv2d_case("1x1_strided_image", {1, 32, 32, 1}, {72, 1, 1, 1}, {.stride = 2}));
  cases.push_back(conv2d_case("1x1_strided_image_of_4", {1, 4, 18, 4}, {74, 1, 1, 4}, {.stride = 2}));
  cases.push_back(conv2d_case("5x5_of_one_row", {4, 1, 9, 128}, {9, 5, 5, 128}, {.padding = 2}));
  cases.push_back(conv2d_case("3x3", {2, 5, 7, 3}, {5, 3, 3, 3}, {.padding = 1}));
  cases.push_back(conv2d_case("3x3_stride2", {1, 9, 8, 17}, {19, 3, 3, 17}, {.stride = 2, .padding = 1}));
  cases.push_back(conv2d_case("7x7_stem", {2, 17, 15, 6}, {8, 7, 7, 6}, {.stride = 2, .padding = 3}));
  cases.push_back(conv2d_case("one_channel", {1, 11, 9, 1}, {3, 7, 7, 1}, {.stride = 2, .padding = 3}));
  cases.push_back(conv2d_case("5x3_window", {2, 8, 9, 2}, {4, 5, 3, 2}, {}));
  // The last row and the last two columns lie in no window: their gradient is zero.
  cases.push_back(conv2d_case("unread_border", {1, 10, 11, 5}, {6, 3, 3, 5}, {.stride = 3}));
  cases.push_back(conv2d_case("one_pixel", {1, 1, 1, 7}, {9, 3, 3, 7}, {.padding = 1}));
  cases.push_back(conv2d_case("wide_padding", {1, 4, 4, 3}, {2, 3, 3, 3}, {.padding = 2}));
  cases.push_back(conv2d_case("train_3x3", {8, 32, 32, 64}, {64, 3, 3, 64}, {.padding = 1}));
  cases.back().realistic = true;
  cases.push_back(
      conv2d_case("train_3x3_stride2", {8, 28, 28, 128}, {256, 3, 3, 128}, {.stride = 2, .padding = 1}));
  cases.back().realistic = true;
  cases.push_back(conv2d_case("train_stem", {4, 128, 128, 6}, {64, 7, 7, 6}, {.stride = 2, .padding = 3}));
  cases.back().realistic = true;
  cases.push_back(conv2d_case("train_1x1", {8, 14, 14, 1024}, {256, 1, 1, 1024}, {}));
  cases.back().realistic = true;
}

inline void add_batchnorm_act_cases(std::vector<OpCase>& cases) {
  const BatchnormActOptions relu{.relu = true};
  const auto both = [&](const std::string& name, const Shape& x, Residual residual,
                        const BatchnormActOptions& options) {
    cases.push_back(batchnorm_act_case(name, x, residual, options));
    cases.push_back(batchnorm_act_eval_case(name, x, residual, options));
  };
  both("plain", {2, 5, 7, 3}, Residual::none, {});
  both("relu", {3, 5, 4, 17}, Residual::none, relu);
  both("residual", {1, 6, 5, 9}, Residual::added, {});
  both("residual_relu", {2, 5, 3, 33}, Residual::added, relu);
  both("matrix", {10, 6}, Residual::none, {.epsilon = 1e-3f, .momentum = 0.25f});
  both("odd_rows", {3, 7, 5, 16}, Residual::added, relu);  // of no block of rows a multiple, in whole vectors
  cases.push_back(batchnorm_act_case("two_values", {2, 1, 1, 5}, Residual::none, {.epsilon = 0.125f}));
  cases.back().step = 0x1p-6f;  // far from linear
  cases.push_back(batchnorm_act_case("far_from_zero", {2, 7, 5, 4}, Residual::none, {}));
  cases.back().inputs[0].low = 64.0f;
  cases.back().tolerance = 5e-5;
  cases.back().tolerance_reason = "the f32 mean of 65 is off by 2^-18 at most, 7e-6 of a deviation of 0.58";
  cases.back().gradient_tolerance = 1e-3;  // the same error of x - mean, over steps of 2^-5
  cases.back().bf16_tolerance = 0x1p-7;
  cases.back().bf16_tolerance_reason =
      "bf16 has eight values in [64, 66), so a deviation is small and sums cancel";
  both("train", {8, 28, 28, 128}, Residual::added, relu);
  cases.back().realistic = true;
  cases[cases.size() - 2].realistic = true;
}

inline void add_pool_cases(std::vector<OpCase>& cases) {
  cases.push_back(max_pool2d_case("3x3_stride2", {2, 9, 7, 5}, {}));
  cases.push_back(max_pool2d_case("2x2", {1, 5, 6, 33}, {.window = 2, .stride = 2, .padding = 0}));
  cases.push_back(max_pool2d_case("overlap", {2, 5, 5, 17}, {.window = 3, .stride = 1, .padding = 1}));
  cases.push_back(max_pool2d_case("5x5_stride3", {1, 11, 13, 4}, {.window = 5, .stride = 3, .padding = 2}));
  cases.push_back(max_pool2d_case("gaps", {1, 9, 9, 3}, {.window = 2, .stride = 3, .padding = 1}));
  cases.push_back(max_pool2d_case("one_pixel", {1, 1, 1, 3}, {}));
  cases.push_back(max_pool2d_case("train", {4, 64, 64, 64}, {}));
  cases.back().realistic = true;
  for (OpCase& c : cases) {
    if (c.op != "max_pool2d") continue;
    c.tolerance = 1e-6;
    c.tolerance_reason = "values are copied; dx sums at most nine gradients";
  }

  cases.push_back(global_avg_pool_case("odd", {2, 5, 7, 3}));
  cases.push_back(global_avg_pool_case("one_pixel", {1, 1, 1, 17}));
  cases.push_back(global_avg_pool_case("wide", {3, 7, 7, 65}));
  cases.push_back(global_avg_pool_case("train", {64, 7, 7, 512}));
  cases.back().realistic = true;
}

inline void add_head_cases(std::vector<OpCase>& cases) {
  cases.push_back(linear_case("one", 1, 1, 1));
  cases.push_back(linear_case("odd", 3, 17, 5));
  cases.push_back(linear_case("batch_1", 1, 33, 31));
  cases.push_back(linear_case("train", 64, 512, 1139));
  cases.back().realistic = true;

  const auto drawn = ClassWeights::drawn;
  cases.push_back(softmax_cross_entropy_case("batch_1", {.batch = 1, .classes = 2}));
  cases.push_back(softmax_cross_entropy_case("plain", {.batch = 5, .classes = 7}));
  cases.push_back(softmax_cross_entropy_case(
      "smoothing", {.batch = 5, .classes = 7, .options = {.label_smoothing = 0.1f}}));
  cases.push_back(softmax_cross_entropy_case("class_weights", {.batch = 6, .classes = 17, .weights = drawn}));
  cases.push_back(softmax_cross_entropy_case(
      "smoothing_class_weights",
      {.batch = 9, .classes = 33, .weights = drawn, .options = {.label_smoothing = 0.25f}}));
  cases.push_back(softmax_cross_entropy_case(
      "all_smoothing", {.batch = 3, .classes = 4, .options = {.label_smoothing = 1.0f}}));
  cases.push_back(softmax_cross_entropy_case("one_class", {.batch = 2, .classes = 1}));
  cases.push_back(softmax_cross_entropy_case("large_logits", {.batch = 4, .classes = 9, .range = 256}));
  cases.back().gradient_tolerance = 5e-3;  // a loss near 100 has half-ulps of 4e-6, over steps of 2^-4
  cases.push_back(softmax_cross_entropy_case(
      "train", {.batch = 64, .classes = 1139, .weights = drawn, .options = {.label_smoothing = 0.1f}}));
  cases.back().realistic = true;

  cases.push_back(softmax_case("odd", 5, 7, 8));
  cases.push_back(softmax_case("one_class", 2, 1, 8));
  cases.push_back(softmax_case("large_logits", 4, 33, 256));
  cases.push_back(softmax_case("train", 64, 1139, 16));
  cases.back().realistic = true;
}

inline void add_elementwise_cases(std::vector<OpCase>& cases) {
  cases.push_back(add_case("odd", {3, 5, 7, 3}));
  cases.push_back(add_case("scalar", {}));
  cases.push_back(add_case("train", {8, 28, 28, 128}));
  cases.back().realistic = true;
  cases.push_back(relu_case("odd", {3, 5, 7, 3}));
  cases.push_back(relu_case("one", {1}));
  cases.push_back(relu_case("train", {8, 28, 28, 128}));
  cases.back().realistic = true;
  cases.push_back(dropout_case("none", {5, 7}, {.probability = 0.0f, .seed = 1}));
  cases.push_back(dropout_case("third", {5, 67}, {.probability = 0.3f, .seed = 7, .offset = 11}));
  cases.push_back(
      dropout_case("most", {3, 33}, {.probability = 0.9f, .seed = uint64_t{5} << 32, .offset = 3}));
  cases.push_back(dropout_case("train", {64, 2048}, {.probability = 0.5f, .seed = 3, .offset = 1000}));
  cases.back().realistic = true;
  cases.push_back(cast_case("to_bf16", {3, 67}, DType::bf16));
  cases.push_back(cast_case("to_f16", {3, 67}, DType::f16));
}

inline void add_preprocess_cases(std::vector<OpCase>& cases) {
  cases.push_back(preprocess_case("image", {.images = {2, 9, 7, 6}}));
  cases.push_back(preprocess_case("unit", {.images = {3, 8, 8, 1}, .normalization = Normalization::unit}));
  cases.push_back(preprocess_case("crop", {.images = {4, 13, 11, 3}, .crop_height = 7, .crop_width = 7}));
  cases.push_back(
      preprocess_case("rectangle", {.images = {4, 12, 15, 2}, .crop_height = 5, .crop_width = 9}));
  cases.push_back(
      preprocess_case("shrink", {.images = {4, 17, 19, 5}, .shrink = 2, .crop_height = 6, .crop_width = 6}));
  cases.push_back(preprocess_case(
      "colormap", {.images = {4, 10, 10, 6}, .fusion = Fusion::colormap, .crop_height = 8, .crop_width = 8}));
  cases.push_back(preprocess_case("colormap_shrink", {.images = {3, 13, 13, 6},
                                                      .fusion = Fusion::colormap,
                                                      .shrink = 3,
                                                      .normalization = Normalization::unit}));
  cases.push_back(preprocess_case(
      "linear",
      {.images = {4, 11, 11, 6}, .fusion = Fusion::linear, .fused = 3, .crop_height = 9, .crop_width = 9}));
  cases.push_back(preprocess_case("linear_shrink", {.images = {2, 16, 16, 6},
                                                    .fusion = Fusion::linear,
                                                    .fused = 8,
                                                    .shrink = 2,
                                                    .normalization = Normalization::unit}));
  cases.push_back(preprocess_case(
      "train", {.images = {4, 512, 512, 6}, .shrink = 2, .crop_height = 224, .crop_width = 224}));
  cases.back().realistic = true;
}

/// Every case, in a fixed order.
inline const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> table = [] {
    std::vector<OpCase> cases;
    add_conv2d_cases(cases);
    add_batchnorm_act_cases(cases);
    add_pool_cases(cases);
    add_head_cases(cases);
    add_elementwise_cases(cases);
    add_preprocess_cases(cases);
    return cases;
  }();
  return table;
}

/// A case's name as GoogleTest wants it.
inline std::string test_name(const OpCase& op_case) {
  std::string name = op_case.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace cytograd::test
