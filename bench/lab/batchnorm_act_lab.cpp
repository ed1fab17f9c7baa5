// Variants of batchnorm_act in training, checked against the CPU on the op table's cases, and against production.
#include "bench/lab/lab.h"
#include "bench/peers.h"
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
          .residual = inputs.size() > 5 ? inputs[5].value() : Tensor(),
          .batches_tracked = Tensor::full({1}, 7, DType::i64, device)};
}

/// Inputs of a timed size.
Backend::BatchnormActArguments drawn(const Shape& shape, DType dtype, bool residual) {
  const Shape channels{shape[3]};
  return {.x = random_tensor(shape, dtype, Device::cuda, 1),
          .gamma = random_tensor(channels, DType::f32, Device::cuda, 2),
          .beta = random_tensor(channels, DType::f32, Device::cuda, 3),
          .running_mean = Tensor::zeros(channels, DType::f32, Device::cuda),
          .running_var = Tensor::full(channels, 1.0f, DType::f32, Device::cuda),
          .residual = residual ? random_tensor(shape, dtype, Device::cuda, 4) : Tensor(),
          .batches_tracked = Tensor::full({1}, 7, DType::i64, Device::cuda)};
}

/// All that a call writes.
enum Result : size_t { kY, kMean, kInvStd, kRunningMean, kRunningVar, kBatches, kMask };

std::vector<Tensor> results_of(const Backend::BatchnormActForward& made,
                               const Backend::BatchnormActArguments& arguments) {
  std::vector<Tensor> results{made.y,
                              made.mean,
                              made.inv_std,
                              arguments.running_mean,
                              arguments.running_var,
                              arguments.batches_tracked};
  if (made.mask.defined()) results.push_back(made.mask);
  return results;
}

/// "", or that bits of the mask say something else than y, on the CPU: bit c % 8 of byte c / 8 of a row.
std::string flaw_of_mask(const Tensor& mask, const Tensor& y) {
  const auto bits = mask.to_vector<uint8_t>();
  const std::vector<float> values = test::values_of(y);
  const auto channels = static_cast<size_t>(y.dim(y.rank() - 1)), bytes = (channels + 7) / 8;
  const bool may_vanish = y.dtype() == DType::f16;  // what f16 rounds to 0 was let through
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i / channels, c = i % channels;
    const bool bit = (bits[row * bytes + c / 8] >> (c % 8) & 1) != 0;
    if (bit != (values[i] > 0.0f) && !(bit && may_vanish))
      return fmt::format("the mask's bit of row {}, channel {} is {}, y is {:g}", row, c, bit ? 1 : 0,
                         values[i]);
  }
  return "";
}

struct Allowed {
  double y;
  double statistics;
};

/// What differs between a variant's results and those expected, which may be another backend's.
std::string flaw_beside(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected,
                        const Allowed& allowed) {
  constexpr const char* kNames[] = {"y", "mean", "inv_std", "running_mean", "running_var"};
  for (size_t i = kY; i <= kRunningVar; ++i) {
    const std::string found =
        difference(kNames[i], actual[i], expected[i], i == kY ? allowed.y : allowed.statistics);
    if (!found.empty()) return found;
  }
  if (actual[kBatches].to_vector<int64_t>() != std::vector<int64_t>{8}) return "7 batches and one are not 8";
  return actual.size() > kMask ? flaw_of_mask(actual[kMask], actual[kY]) : "";
}

/// On the op table's cases, beside the CPU.
std::string flaw_on_table(const Chosen& variant) {
  for (const test::OpCase& c : test::op_cases()) {
    if (c.op != "batchnorm_act") continue;
    const BatchnormActOptions options{.epsilon = static_cast<float>(c.attributes.at("epsilon")),
                                      .momentum = static_cast<float>(c.attributes.at("momentum")),
                                      .relu = c.attributes.at("relu") != 0.0};
    const Backend::BatchnormActArguments on_cpu = arguments_of(c, Device::cpu, DType::f32);
    const auto expected = results_of(backend(Device::cpu).batchnorm_act_train(on_cpu, options), on_cpu);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      std::vector<Tensor> actual;
      std::string found = unsteadiness(
          [&] {
            const Backend::BatchnormActArguments arguments = arguments_of(c, Device::cuda, dtype);
            return results_of(cuda().batchnorm_act_train_by(variant.launch, arguments, options), arguments);
          },
          actual);
      if (found.empty())
        found = flaw_beside(
            actual, expected,
            {.y = dtype == DType::f32 ? c.tolerance : c.bf16_tolerance, .statistics = c.tolerance});
      if (!found.empty()) return fmt::format("{} in {}: {}", c.name, dtype_name(dtype), found);
    }
  }
  return "";
}

/// On sizes as those that are timed, of many channels or rows, of an odd number of rows, with a residual and without,
/// beside production.
std::string flaw_beside_production(const Chosen& variant) {
  const BatchnormActOptions options{.relu = true};
  for (const Shape& shape :
       {Shape{3, 7, 7, 2048}, Shape{1, 3, 3, 264}, Shape{5, 29, 29, 64}, Shape{5, 29, 29, 33}}) {
    for (const bool residual : {false, true}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        std::vector<Tensor> actual;
        std::string found = unsteadiness(
            [&] {
              const Backend::BatchnormActArguments arguments = drawn(shape, dtype, residual);
              return results_of(cuda().batchnorm_act_train_by(variant.launch, arguments, options), arguments);
            },
            actual);
        const Backend::BatchnormActArguments arguments = drawn(shape, dtype, residual);
        const auto expected = results_of(cuda().batchnorm_act_train(arguments, options), arguments);
        if (found.empty())
          found =
              flaw_beside(actual, expected, {.y = dtype == DType::f32 ? 1e-5 : 0x1p-7, .statistics = 1e-5});
        if (!found.empty())
          return fmt::format("{}{} in {}: {}", shape_text(shape), residual ? " with a residual" : "",
                             dtype_name(dtype), found);
      }
    }
  }
  return "";
}

std::string flaw(const Chosen& variant) {
  const std::string found = flaw_on_table(variant);
  return found.empty() ? flaw_beside_production(variant) : found;
}

Work work(const Shape& shape, DType dtype, const Chosen& variant) {
  const Backend::BatchnormActArguments arguments = drawn(shape, dtype, false);
  const Tensor& x = arguments.x;
  const BatchnormActOptions options{.relu = true};
  const auto flaw_at_size = [=] {
    const auto actual = cuda().batchnorm_act_train_by(variant.launch, arguments, options);
    const auto expected = cuda().batchnorm_act_train(arguments, options);
    const std::string found = difference("inv_std", actual.inv_std, expected.inv_std, 1e-5);
    return found.empty() ? difference_on_device("y", actual.y, expected.y) : found;
  };
  return with_library({.run = [=] { cuda().batchnorm_act_train_by(variant.launch, arguments, options); },
                       .bytes = bytes_read_twice(x) + static_cast<int64_t>(x.bytes()) + x.elements() / 8,
                       .flaw = flaw_at_size},
                      Device::cuda, peer_batchnorm_act(Device::cuda, shape, dtype, false).forward);
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
