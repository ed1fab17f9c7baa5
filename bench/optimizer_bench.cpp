// Optimizer steps over all parameters of a ResNet: the gradients' norm, then w and its moments are read and written,
// the gradient read. Weight averaging reads both and writes one.
#include <memory>

#include "bench/cases.h"
#include "engine/backend.h"
#include "engine/optimizer.h"
#include "models/model.h"

namespace cytograd::bench {
namespace {

struct Network {
  std::unique_ptr<Model> model;
  std::vector<Parameter> parameters;
  std::vector<Tensor> gradients;
  int64_t elements = 0;
};

std::shared_ptr<Network> network(const std::string& name, Device device) {
  auto result = std::make_shared<Network>();
  result->model = make_model({.name = name, .channels = 6, .classes = 1139});
  move_to(*result->model, device);
  result->parameters = result->model->state().parameters;
  for (const Parameter& parameter : result->parameters) {
    result->gradients.push_back(random_tensor(parameter.variable->shape(), DType::f32, device));
    result->elements += parameter.variable->shape().elements();
  }
  return result;
}

Work step(const std::string& name, Device device, OptimizerKind kind) {
  const auto net = network(name, device);
  const auto optimizer =
      std::make_shared<Optimizer>(net->parameters, OptimizerOptions{.kind = kind, .weight_decay = 0.005f});
  optimizer->set_learning_rate(1e-6f);
  const int64_t one = 4 * net->elements;
  const int64_t moments = kind == OptimizerKind::adamw ? 2 : 1;
  const int64_t gradient = one > last_level_cache(device) ? 2 * one : one;  // for the norm, and for the step
  return {.run = [net, optimizer] { optimizer->step(net->gradients); },
          .bytes = gradient + 2 * one * (1 + moments)};
}

Work average(const std::string& name, Device device) {
  const auto net = network(name, device);
  const auto ema = std::make_shared<EmaWeights>(net->parameters, 0.999f);
  ema->begin_update();
  return {.run = [net, ema] { ema->update(); }, .bytes = 12 * net->elements};
}

void add(std::vector<Row>& rows) {
  for (const Device device : devices()) {
    for (const char* name : {"small", "resnet18", "resnet50"}) {
      const auto row = [&](const char* family, std::function<Work()> make) {
        rows.push_back(
            {.family = family, .shape = name, .pass = "step", .device = device, .make = std::move(make)});
      };
      row("sgd", [=] { return step(name, device, OptimizerKind::sgd); });
      row("adamw", [=] { return step(name, device, OptimizerKind::adamw); });
      row("ema", [=] { return average(name, device); });
    }
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
