#include "models/model.h"

#include "engine/check.h"
#include "models/resnet.h"
#include "models/small.h"

namespace cytograd {

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names{"small", "resnet18", "resnet34", "resnet50"};
  return names;
}

std::unique_ptr<Model> make_model(const ModelOptions& options) {
  CHECK(options.channels > 0 && options.classes > 0, "{} channels, {} classes", options.channels,
        options.classes);
  if (options.name == "small") return std::make_unique<SmallNet>(options);
  for (const std::string& name : model_names()) {
    if (name == options.name) return std::make_unique<ResNet>(options);
  }
  fail("unknown model '{}'; known: {}", options.name, fmt::join(model_names(), ", "));
}

void move_to(Model& model, Device device) {
  const ModelState state = model.state();
  for (const Parameter& p : state.parameters) *p.variable = Variable::leaf(p.variable->value().to(device));
  for (const NamedBuffer& buffer : state.buffers) *buffer.tensor = buffer.tensor->to(device);
}

LearnedFusion::LearnedFusion(const ModelOptions& options)
    : enabled_(options.learned_fusion > 0), channels_(enabled_ ? options.learned_fusion : options.channels) {
  if (enabled_)
    convolution_ = Conv2d("fusion", {.in = options.channels, .out = channels_, .window = 1}, options.seed);
}

void LearnedFusion::collect(ModelState& state) {
  if (enabled_) convolution_.collect(state);
}

ClassifierHead::ClassifierHead(const ModelOptions& options, int64_t features)
    : dropout_(options.dropout), fc_("fc", features, options.classes, options.seed) {}

Variable ClassifierHead::operator()(const Variable& x, const Pass& pass) const {
  Variable features = global_avg_pool(x);  // [N, features]
  if (pass.training && dropout_ > 0.0f) {
    features = dropout(features, {.probability = dropout_, .seed = pass.seed, .step = pass.step});
  }
  return fc_(features);
}

}  // namespace cytograd
