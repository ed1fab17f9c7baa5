// What a model shows of itself to optimizers and checkpoints.
#pragma once

#include <string>

#include "engine/autograd.h"

namespace cytograd {

/// A trained leaf, owned by the model. Names are torchvision's ("layer1.0.conv1.weight").
struct Parameter {
  std::string name;
  Variable* variable = nullptr;
  bool decay = true;  ///< false for the scales, shifts and biases that weight decay must leave alone
};

/// State that is saved but not trained, owned by the model ("bn1.running_mean").
struct NamedBuffer {
  std::string name;
  Tensor* tensor = nullptr;
};

}  // namespace cytograd
