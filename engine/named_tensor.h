// A tensor as files know it.
#pragma once

#include <string>

#include "engine/tensor.h"

namespace cytograd {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace cytograd
