// What preprocess and its variants are timed on.
#pragma once

#include <memory>

#include "bench/harness.h"
#include "bench/limits.h"
#include "data/colormap.h"
#include "engine/op_options.h"
#include "tests/op_case_builders.h"

namespace cytograd::bench {

struct PreprocessProblem {
  Device device;
  DType dtype;
  std::string name;  ///< of the fusion
  test::PreprocessCase sizes;
  bool any_colours = false;  ///< random ones, in place of the RxRx1 colormap's
};

struct PreprocessInputs {
  Tensor images;
  std::vector<View> views;
  PreprocessOptions options;
  Tensor y;
};

inline PreprocessInputs draw(const PreprocessProblem& p) {
  const test::PreprocessCase& sizes = p.sizes;
  const int64_t channels = sizes.images[3];
  PreprocessInputs inputs{.images = random_bytes(sizes.images, p.device),
                          .views = test::draw_views(sizes, p.name),
                          .options = {.fusion = sizes.fusion,
                                      .shrink = sizes.shrink,
                                      .crop_height = sizes.crop_height,
                                      .crop_width = sizes.crop_width,
                                      .normalization = sizes.normalization,
                                      .dtype = p.dtype},
                          .y = {}};
  int64_t fused = channels;
  if (sizes.fusion == Fusion::linear) {
    fused = sizes.fused;
    inputs.options.linear_weight = random_tensor({fused, channels}, DType::f32, p.device);
    inputs.options.linear_bias = random_tensor({fused}, DType::f32, p.device);
  } else if (sizes.fusion == Fusion::colormap) {
    fused = 3;
    inputs.options.colormap =
        ColourTable(p.any_colours ? random_bytes({channels, 256, 3}, Device::cpu) : Colormap::rxrx1().table())
            .to(p.device);
  }
  inputs.y = Tensor::empty({sizes.images[0], sizes.crop_height, sizes.crop_width, fused}, p.dtype, p.device);
  return inputs;
}

inline int64_t least_bytes(const PreprocessProblem& p, const PreprocessInputs& inputs) {
  const test::PreprocessCase& sizes = p.sizes;
  const int64_t raw =
      sizes.images[0] * sizes.crop_height * sizes.crop_width * sizes.shrink * sizes.shrink * sizes.images[3];
  const bool twice = sizes.normalization == Normalization::image && raw > last_level_cache(p.device);
  return (twice ? 2 : 1) * raw + static_cast<int64_t>(inputs.y.bytes());
}

inline std::vector<PreprocessProblem> preprocess_problems(Device device, DType dtype) {
  const auto sized = [](const Shape& images, int64_t shrink, int64_t crop, Fusion fusion) {
    return test::PreprocessCase{.images = images,
                                .fusion = fusion,
                                .fused = fusion == Fusion::linear ? 3 : 0,
                                .shrink = shrink,
                                .crop_height = crop,
                                .crop_width = crop};
  };
  const int64_t sites = is_gpu(device) ? 256 : 32;
  return {{device, dtype, "none", sized({2, 64, 64, 6}, 1, 48, Fusion::none)},
          {device, dtype, "none", sized({64, 64, 64, 6}, 1, 64, Fusion::none)},
          {device, dtype, "none", sized({sites, 512, 512, 6}, 1, 256, Fusion::none)},
          {device, dtype, "none", sized({sites, 512, 512, 6}, 2, 224, Fusion::none)},
          {device, dtype, "colormap", sized({2, 64, 64, 6}, 1, 48, Fusion::colormap)},
          {device, dtype, "colormap", sized({sites, 512, 512, 6}, 1, 256, Fusion::colormap)},
          {device, dtype, "any_colours", sized({sites, 512, 512, 6}, 1, 256, Fusion::colormap), true},
          {device, dtype, "linear", sized({2, 64, 64, 6}, 1, 48, Fusion::linear)},
          {device, dtype, "linear", sized({sites, 512, 512, 6}, 1, 256, Fusion::linear)}};
}

inline Row preprocess_row(const PreprocessProblem& p, const std::string& variant,
                          std::function<Work()> make) {
  return {.family = "preprocess",
          .shape = fmt::format("{}_shrink{}_crop{}", shape_text(p.sizes.images), p.sizes.shrink,
                               p.sizes.crop_height),
          .pass = p.name,
          .device = p.device,
          .dtype = p.dtype,
          .variant = variant,
          .make = std::move(make)};
}

}  // namespace cytograd::bench
