#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable relu(const Variable& x) {
  Backend& device = backend_of({&x.value()});
  Tensor y = device.relu(x.value());
  return record("relu", y, {x}, [&device, y](const Tensor& dy, std::span<const bool>) {
    return std::vector<Tensor>{device.relu_backward(dy, y)};
  });
}

}  // namespace cytograd
