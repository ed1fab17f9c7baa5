// What networks are before they have learned anything, and what they take over from others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/checkpoint.h"
#include "models/model.h"
#include "models/weights.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Values = std::vector<float>;

std::map<std::string, Values> parameters_of(const ModelOptions& options) {
  std::map<std::string, Values> values;
  const auto model = make_model(options);
  for (const Parameter& p : model->state().parameters)
    values[p.name] = p.variable->value().to_vector<float>();
  return values;
}

double deviation(const Values& values) {
  double square = 0.0;
  for (const float v : values) square += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(square / static_cast<double>(values.size()));
}

// He normal by fan out, and torch.nn.Linear's: what torchvision begins with.
TEST(InitialWeights, AreSpreadAsTorchvisions) {
  auto values = parameters_of({.name = "resnet18", .channels = 3, .classes = 1000});
  EXPECT_NEAR(deviation(values["conv1.weight"]) / std::sqrt(2.0 / (64 * 7 * 7)), 1.0, 0.03);
  EXPECT_NEAR(deviation(values["layer2.0.conv1.weight"]) / std::sqrt(2.0 / (128 * 3 * 3)), 1.0, 0.03);
  EXPECT_NEAR(deviation(values["layer4.0.downsample.0.weight"]) / std::sqrt(2.0 / 512), 1.0, 0.03);
  const Values& last = values["fc.weight"];
  const auto [least, most] = std::minmax_element(last.begin(), last.end());
  const float bound = 1.0f / std::sqrt(512.0f);
  EXPECT_NEAR(*least / -bound, 1.0f, 1e-3f);
  EXPECT_NEAR(*most / bound, 1.0f, 1e-3f);
  EXPECT_NEAR(deviation(last) / (bound / std::sqrt(3.0)), 1.0, 0.01);
  EXPECT_THAT(values["bn1.weight"], Each(1.0f));
  EXPECT_THAT(values["bn1.bias"], Each(0.0f));
}

TEST(InitialWeights, DependOnTheSeedAndTheNameAlone) {
  const ModelOptions options{.name = "small", .channels = 4, .learned_fusion = 4, .seed = 1};
  const auto values = parameters_of(options);
  EXPECT_EQ(parameters_of(options), values);
  ModelOptions other = options;
  other.seed = 2;
  const auto others = parameters_of(other);
  for (const char* name : {"fusion.weight", "conv1.weight", "conv4.weight", "fc.weight", "fc.bias"})
    EXPECT_NE(others.at(name), values.at(name)) << name;
  const auto deep = parameters_of({.name = "resnet18"});
  EXPECT_NE(deep.at("layer1.0.conv1.weight"), deep.at("layer1.0.conv2.weight"));
}

TEST(Models, DecayMatricesAndConvolutionsAlone) {
  for (const std::string& name : model_names()) {
    const auto model = make_model({.name = name, .learned_fusion = 2});
    for (const Parameter& p : model->state().parameters)
      EXPECT_EQ(p.decay, p.variable->shape().rank() > 1) << p.name;
  }
}

TEST(ResNet, HasAsManyParametersAsTorchvisions) {
  const std::map<std::string, int64_t> counts{
      {"resnet18", 11'689'512}, {"resnet34", 21'797'672}, {"resnet50", 25'557'032}};
  for (const auto& [name, count] : counts) {
    int64_t sum = 0;
    const auto model = make_model({.name = name, .channels = 3, .classes = 1000});
    for (const Parameter& p : model->state().parameters) sum += p.variable->value().elements();
    EXPECT_EQ(sum, count) << name;
  }
}

TEST(ResNet, BlocksMayStartAsTheIdentity) {
  for (const auto& [name, last] : {std::pair{"resnet18", ".bn2.weight"}, {"resnet50", ".bn3.weight"}}) {
    for (const bool zero : {false, true}) {
      for (const auto& [parameter, values] : parameters_of({.name = name, .zero_init_last = zero})) {
        const bool is_norm = parameter.ends_with(".weight") && parameter.find("bn") != std::string::npos;
        if (!is_norm) continue;
        EXPECT_THAT(values, Each(zero && parameter.ends_with(last) ? 0.0f : 1.0f)) << parameter;
      }
    }
  }
}

/// The weights of a model, as a file has them; all running variances are 2.
SafetensorsFile file_of(const ModelOptions& options) {
  const auto model = make_model(options);
  for (const NamedBuffer& buffer : model->state().buffers) {
    if (buffer.name.ends_with("running_var"))
      buffer.tensor->copy_from(Tensor::full(buffer.tensor->shape(), 2.0f));
  }
  return {.metadata = {}, .tensors = export_weights(*model)};
}

TEST(Pretrained, StartANetworkOfOtherChannelsAndClasses) {
  const SafetensorsFile file = file_of({.name = "resnet18", .channels = 3, .classes = 10, .seed = 5});
  const auto model = make_model({.name = "resnet18", .channels = 6, .classes = 4});
  EXPECT_THAT(import_pretrained(*model, file, "file", {}), ElementsAre("fc.weight", "fc.bias"));
  const SafetensorsFile taken{.metadata = {}, .tensors = export_weights(*model)};
  EXPECT_EQ(taken.find("conv1.weight")->to_vector<float>(),
            inflate_stem(*file.find("conv1.weight"), 6).to_vector<float>());
  for (const char* name : {"layer3.1.conv2.weight", "bn1.running_var"})
    EXPECT_EQ(taken.find(name)->to_vector<float>(), file.find(name)->to_vector<float>());
}

TEST(Pretrained, MustBeOfTheNetwork) {
  const auto model = make_model({.name = "small", .channels = 1});
  const auto refusal = [&](const SafetensorsFile& file) {
    const std::string of_start = message_of<Error>([&] { import_pretrained(*model, file, "file", {}); });
    EXPECT_EQ(message_of<Error>([&] { import_weights(*model, file, "file", {}); }), of_start);
    return of_start;
  };
  const SafetensorsFile whole = file_of({.name = "small", .channels = 1});
  EXPECT_EQ(refusal(whole), "");
  SafetensorsFile changed = whole;
  std::erase_if(changed.tensors, [](const NamedTensor& t) { return t.name == "bn2.running_mean"; });
  EXPECT_THAT(refusal(changed), HasSubstr("file: tensor 'bn2.running_mean' is absent"));
  changed = whole;
  changed.tensors.push_back({"conv9.weight", Tensor::zeros({1})});
  EXPECT_THAT(refusal(changed), HasSubstr("file: the model has no tensor 'conv9.weight'"));
  changed = whole;
  for (NamedTensor& t : changed.tensors) {
    if (t.name == "bn3.bias") t.tensor = Tensor::zeros(t.tensor.shape(), DType::bf16);
  }
  EXPECT_THAT(refusal(changed),
              AllOf(HasSubstr("file: tensor 'bn3.bias' is bf16"), HasSubstr("needs f32; convert it")));
}

}  // namespace
}  // namespace cytograd
