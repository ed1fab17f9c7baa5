// Variants of batchnorm_act in training, checked against the CPU on the op table's cases.
#include "bench/lab/lab.h"
#include "kernels/batchnorm_act.h"

namespace cytograd::bench {
namespace {

using Chosen = Variant<BatchnormActTrainArguments>;

/// The case's inputs, in the order of batchnorm_act_case.
Backend::BatchnormActArguments arguments_of(const test::OpCase& op_case, Device device, DType dtype) {
  const auto inputs = test::make_inputs(op_case, {.device = device, .dtype = dtype, .rounded = DType::bf16});
  return {.x = inputs[0].value(),
          .gamma = inputs[1].value(),
          .beta = inputs[2].value(),
          .running_mean = inputs[3].value(),
          .running_var = inputs[4].value(),
          .residual = inputs.size() > 5 ? inputs[5].value() : Tensor()};
}

std::string flaw(const Chosen& variant) {
  for (const test::OpCase& c : test::op_cases()) {
    if (c.op != "batchnorm_act") continue;
    const BatchnormActOptions options{.epsilon = static_cast<float>(c.attributes.at("epsilon")),
                                      .momentum = static_cast<float>(c.attributes.at("momentum")),
                                      .relu = c.attributes.at("relu") != 0.0};
    const Backend::BatchnormActArguments on_cpu = arguments_of(c, Device::cpu, DType::f32);
    const auto expected = backend(Device::cpu).batchnorm_act_train(on_cpu, options);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      const Backend::BatchnormActArguments arguments = arguments_of(c, Device::cuda, dtype);
      const auto actual = cuda().batchnorm_act_train_by(variant.launch, arguments, options);
      const double tolerance = dtype == DType::f32 ? c.tolerance : c.bf16_tolerance;
      for (const std::string& found :
           {difference(c, "y", actual.y, expected.y, tolerance),
            difference(c, "mean", actual.mean, expected.mean, c.tolerance),
            difference(c, "inv_std", actual.inv_std, expected.inv_std, c.tolerance),
            difference(c, "running_mean", arguments.running_mean, on_cpu.running_mean, c.tolerance),
            difference(c, "running_var", arguments.running_var, on_cpu.running_var, c.tolerance)}) {
        if (!found.empty()) return fmt::format("{} in {}", found, dtype_name(dtype));
      }
    }
  }
  return "";
}

Work work(const Shape& shape, DType dtype, const Chosen& variant) {
  const Shape channels{shape[3]};
  const Backend::BatchnormActArguments arguments{
      .x = random_tensor(shape, dtype, Device::cuda, 1),
      .gamma = random_tensor(channels, DType::f32, Device::cuda, 2),
      .beta = random_tensor(channels, DType::f32, Device::cuda, 3),
      .running_mean = Tensor::zeros(channels, DType::f32, Device::cuda),
      .running_var = Tensor::full(channels, 1.0f, DType::f32, Device::cuda),
      .residual = Tensor()};
  const Tensor& x = arguments.x;
  return {.run = [arguments,
                  variant] { cuda().batchnorm_act_train_by(variant.launch, arguments, {.relu = true}); },
          .bytes = bytes_read_twice(x) + static_cast<int64_t>(x.bytes()) + x.elements() / 8};
}

void add(std::vector<Row>& rows) {
  if (!why_no_cuda().empty()) return;
  for (const Chosen& variant : variants<BatchnormActTrainArguments>()) {
    for (const DType dtype : dtypes(Device::cuda)) {
      for (const Shape& shape : activation_shapes(Device::cuda)) {
        rows.push_back({.family = "batchnorm_act",
                        .shape = shape_text(shape),
                        .pass = "forward",
                        .device = Device::cuda,
                        .dtype = dtype,
                        .variant = variant.name,
                        .make = [=] { return work(shape, dtype, variant); },
                        .flaw = [variant] { return flaw(variant); }});
      }
    }
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
