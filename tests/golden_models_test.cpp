// Whole networks against PyTorch in f64: logits, loss, all gradients and running statistics, and ten losses
// of a training under each optimizer. Weights and images come from Philox on both sides;
// golden/model_references.py and golden/philox.py state the same rules.
#include <gtest/gtest.h>

#include "engine/optimizer.h"
#include "models/model.h"
#include "tests/golden_file.h"
#include "tests/support/devices.h"

namespace cytograd::test {
namespace {

constexpr int64_t kChannels = 6;
constexpr int64_t kClasses = 10;

/// Overwrites a parameter by the rule of philox.py's parameter_values; all products and sums are exact or one
/// f32 rounding, and so the same bits.
void draw_parameter(const Parameter& parameter) {
  Tensor& tensor = parameter.variable->mutable_value();
  Philox philox(hash(parameter.name));
  float low = 0.75f;  // a norm's shift
  float high = 1.25f;
  float factor = 1.0f;
  if (tensor.rank() == 4) {
    const int64_t inputs = tensor.elements() / tensor.dim(0);
    low = -1.0f;
    high = 1.0f;
    factor = static_cast<float>(std::sqrt(6.0 / static_cast<double>(inputs)));
  } else if (tensor.rank() == 2) {
    low = -0x1p-4f;
    high = 0x1p-4f;
  } else if (parameter.name == "fc.bias") {
    low = -0.25f;
    high = 0.25f;
  } else if (parameter.name.ends_with(".weight")) {
    low = 0.25f;
    high = 0.5f;
  }
  float* values = tensor.data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = factor * philox.uniform(low, high);
}

std::unique_ptr<Model> golden_model(const std::string& name, Stem stem, Device device) {
  ModelOptions options;
  options.name = name;
  options.channels = kChannels;
  options.classes = kClasses;
  options.stem = stem;
  auto model = make_model(options);
  for (const Parameter& parameter : model->state().parameters) draw_parameter(parameter);
  move_to(*model, device);
  return model;
}

struct Batch {
  Tensor x;       // [N, size, size, kChannels]
  Tensor labels;  // [N]
};

Batch draw_batch(const std::string& seed, int64_t count, int64_t size, Device device) {
  const CaseInput x{.name = "x", .shape = {count, size, size, kChannels}, .low = -2.0f, .range = 4.0f};
  const CaseInput labels{
      .name = "labels", .shape = {count}, .fill = Fill::below, .range = static_cast<float>(kClasses)};
  return {tensor_of(draw_values(x, seed), x.shape, DType::f32, device),
          tensor_of(draw_values(labels, seed), labels.shape, DType::i64, device)};
}

std::vector<Variable> variables(const std::vector<Parameter>& parameters) {
  std::vector<Variable> result;
  for (const Parameter& parameter : parameters) result.push_back(*parameter.variable);
  return result;
}

/// Scale and shift of a norm are compared as one, in a common scale: see gradients_by_scale in
/// model_references.py.
std::vector<NamedValues> gradients_by_scale(const std::vector<Parameter>& parameters,
                                            const std::vector<Tensor>& gradients) {
  std::vector<NamedValues> results;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const std::string& name = parameters[i].name;
    std::vector<float> values = values_of(gradients[i]);
    if (parameters[i].decay || name == "fc.bias") {
      results.push_back({"d" + name, std::move(values)});
    } else if (name.ends_with(".weight")) {
      const std::string layer = name.substr(0, name.size() - std::string(".weight").size());
      CHECK(parameters.at(i + 1).name == layer + ".bias", "{} follows {}", parameters.at(i + 1).name, name);
      const std::vector<float> shift = values_of(gradients[i + 1]);
      values.insert(values.end(), shift.begin(), shift.end());
      results.push_back({"d" + layer, std::move(values)});
    }
  }
  return results;
}

struct ModelCase {
  std::string name;
  std::string model;
  Stem stem = Stem::conv7x7;
  int64_t batch = 4;
  int64_t size = 64;
  Device device = Device::cpu;
};
void PrintTo(const ModelCase& model_case, std::ostream* out) { *out << model_case.name; }

class GoldenModel : public testing::TestWithParam<ModelCase> {
 protected:
  static constexpr double kForwardTolerance = 2e-5;   // PyTorch's own f32 is within 1.5e-6 of its f64
  static constexpr double kGradientTolerance = 2e-4;  // and its gradients are within 2.2e-5

  void expect_golden(const std::string& name, const std::vector<float>& values, double tolerance) {
    static const SafetensorsFile file = read_safetensors(golden_folder() / "models.safetensors");
    const GoldenError error = golden_error(values, golden_values(file, GetParam().name + "|" + name));
    EXPECT_LE(error.worst, tolerance) << name << ": " << error.what;
  }
};

TEST_P(GoldenModel, AgreesWithPyTorchInF64) {
  const ModelCase& model_case = GetParam();
  const auto model = golden_model(model_case.model, model_case.stem, model_case.device);
  const Batch batch = draw_batch(model_case.name, model_case.batch, model_case.size, model_case.device);
  const ModelState state = model->state();
  {
    Tape tape;
    const Variable logits = model->forward(batch.x, {.training = true});
    const Variable loss = softmax_cross_entropy(logits, batch.labels, {}, {.label_smoothing = 0.1f});
    expect_golden("logits", values_of(logits.value()), kForwardTolerance);
    expect_golden("loss", values_of(loss.value()), kForwardTolerance);
    const auto gradients = tape.backward(loss, variables(state.parameters));
    for (const auto& [name, values] : gradients_by_scale(state.parameters, gradients))
      expect_golden(name, values, kGradientTolerance);
  }
  for (const NamedBuffer& buffer : state.buffers) {
    if (buffer.tensor->dtype() == DType::f32)
      expect_golden(buffer.name, values_of(*buffer.tensor), kForwardTolerance);
  }
  const NoGrad no_grad;
  expect_golden("eval_logits", values_of(model->forward(batch.x, {}).value()), kForwardTolerance);
}

std::vector<ModelCase> model_cases() {
  std::vector<ModelCase> cases;
  for (const Device device : devices()) {
    cases.push_back(
        {.name = "resnet18_3x3", .model = "resnet18", .stem = Stem::conv3x3, .size = 32, .device = device});
    if (device == Device::cuda && cuda_is_emulated()) continue;  // the larger ones take minutes
    cases.push_back({.name = "resnet18", .model = "resnet18", .device = device});
    cases.push_back({.name = "resnet50", .model = "resnet50", .device = device});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenModel, testing::ValuesIn(model_cases()), [](const auto& each) {
  return fmt::format("{}_{}", each.param.name, device_name(each.param.device));
});

// Ten steps on one batch. f32 and f64 in PyTorch agree within 1e-5 here, so that 1e-4 leaves no room for a
// wrong moment, bias correction, decay or statistic.
class GoldenLosses : public testing::TestWithParam<Device> {
 protected:
  void expect_golden_losses(const std::string& name, const OptimizerOptions& options, float learning_rate) {
    const SafetensorsFile file = read_safetensors(golden_folder() / "losses.safetensors");
    const std::vector<float> golden = golden_values(file, name);
    const auto model = golden_model("resnet18", Stem::conv7x7, GetParam());
    const Batch batch = draw_batch("training", 8, 32, GetParam());
    const std::vector<Parameter> parameters = model->state().parameters;
    Optimizer optimizer(parameters, options);
    for (size_t step = 0; step < golden.size(); ++step) {
      Tape tape;
      const Variable loss =
          softmax_cross_entropy(model->forward(batch.x, {.training = true}), batch.labels, {}, {});
      EXPECT_NEAR(loss.value().item(), golden[step], 1e-4 * golden[step]) << "step " << step;
      optimizer.set_learning_rate(learning_rate);
      optimizer.step(tape.backward(loss, variables(parameters)));
    }
  }
};

TEST_P(GoldenLosses, SgdWithNesterovMomentumAndDecoupledDecay) {
  expect_golden_losses(
      "sgd", {.kind = OptimizerKind::sgd, .weight_decay = 0x1p3f, .momentum = 0.9f, .nesterov = true},
      0x1p-11f);
}

TEST_P(GoldenLosses, AdamwWithDecayOffForNormsAndBiases) {
  expect_golden_losses("adamw", {.kind = OptimizerKind::adamw, .weight_decay = 0x1p6f}, 0x1p-14f);
}

INSTANTIATE_TEST_SUITE_P(Devices, GoldenLosses, testing::ValuesIn(devices()),
                         [](const auto& each) { return std::string(device_name(each.param)); });

}  // namespace
}  // namespace cytograd::test
