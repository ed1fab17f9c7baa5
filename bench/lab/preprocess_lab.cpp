// Variants of preprocess, checked against the CPU on the op table's cases.
#include "bench/lab/lab.h"
#include "bench/preprocess_problem.h"
#include "kernels/preprocess.h"

namespace cytograd::bench {
namespace {

using Chosen = Variant<PreprocessArguments>;

/// What preprocess_case was made of.
test::PreprocessCase sizes_of(const test::OpCase& c) {
  const auto whole = [&](const char* name) { return static_cast<int64_t>(c.attributes.at(name)); };
  test::PreprocessCase sizes{
      .images = c.inputs[0].shape,
      .shrink = whole("shrink"),
      .crop_height = whole("crop_height"),
      .crop_width = whole("crop_width"),
      .normalization = whole("normalize_image") == 1 ? Normalization::image : Normalization::unit};
  if (c.inputs.size() == 2) sizes.fusion = Fusion::colormap;
  if (c.inputs.size() == 3) {
    sizes.fusion = Fusion::linear;
    sizes.fused = c.inputs[1].shape[0];
  }
  return sizes;
}

/// The case's result by the CPU, or, where there is one, by a variant.
Tensor result_of(const test::OpCase& c, DType dtype, const Chosen* variant) {
  const test::PreprocessCase sizes = sizes_of(c);
  const Device device = variant != nullptr ? Device::cuda : Device::cpu;
  const auto inputs = test::make_inputs(c, {.device = device});
  const Tensor& images = inputs[0].value();
  PreprocessOptions options{
      .fusion = sizes.fusion,
      .shrink = sizes.shrink,
      .crop_height = sizes.crop_height > 0 ? sizes.crop_height : sizes.images[1] / sizes.shrink,
      .crop_width = sizes.crop_width > 0 ? sizes.crop_width : sizes.images[2] / sizes.shrink,
      .normalization = sizes.normalization,
      .dtype = dtype};
  int64_t channels = sizes.images[3];
  if (sizes.fusion == Fusion::colormap) {
    options.colormap = ColourTable(inputs[1].value());
    channels = 3;
  }
  if (sizes.fusion == Fusion::linear) {
    options.linear_weight = inputs[1].value();
    options.linear_bias = inputs[2].value();
    channels = sizes.fused;
  }
  const std::vector<View> views = test::draw_views(sizes, c.name);
  Tensor y = Tensor::empty({images.dim(0), options.crop_height, options.crop_width, channels}, dtype, device);
  if (variant != nullptr) {
    cuda().preprocess_by(variant->launch, images, views, options, y);
  } else {
    backend(device).preprocess(images, views, options, y);
  }
  return y;
}

std::string flaw(const Chosen& variant) {
  for (const test::OpCase& c : test::op_cases()) {
    if (c.op != "preprocess") continue;
    const Tensor expected = result_of(c, DType::f32, nullptr);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      std::vector<Tensor> results;
      std::string found =
          unsteadiness([&]() -> std::vector<Tensor> { return {result_of(c, dtype, &variant)}; }, results);
      if (found.empty())
        found = difference("y", results[0], expected, dtype == DType::f32 ? c.tolerance : c.bf16_tolerance);
      if (!found.empty()) return fmt::format("{} in {}: {}", c.name, dtype_name(dtype), found);
    }
  }
  return "";
}

Work work(const PreprocessProblem& p, const Chosen& variant) {
  auto inputs = std::make_shared<PreprocessInputs>(draw(p));
  return {.run =
              [inputs, variant] {
                cuda().preprocess_by(variant.launch, inputs->images, inputs->views, inputs->options,
                                     inputs->y);
              },
          .bytes = least_bytes(p, *inputs),
          .flaw =
              [inputs, variant] {
                Tensor actual = Tensor::empty(inputs->y.shape(), inputs->y.dtype(), Device::cuda);
                cuda().preprocess_by(variant.launch, inputs->images, inputs->views, inputs->options, actual);
                cuda().preprocess(inputs->images, inputs->views, inputs->options, inputs->y);
                return difference_on_device("y", actual, inputs->y);
              }};
}

void add(std::vector<Row>& rows) {
  if (!why_no_cuda().empty()) return;
  for (const Chosen& variant : variants<PreprocessArguments>()) {
    for (const DType dtype : dtypes(Device::cuda)) {
      for (const PreprocessProblem& p : preprocess_problems(Device::cuda, dtype)) {
        rows.push_back(preprocess_row(p, variant.name, [p, variant] { return work(p, variant); }));
        rows.back().flaw = [variant] { return flaw(variant); };
      }
    }
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
