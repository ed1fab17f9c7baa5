#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable global_avg_pool(const Variable& x) {
  const Shape& shape = x.shape();
  CHECK(shape.rank() == 4 && shape[1] * shape[2] > 0, "x {}", shape);
  Backend& device = backend_of({&x.value()});
  return record("global_avg_pool", device.global_avg_pool(x.value()), {x},
                [&device, shape](const Tensor& dy, std::span<const bool>) {
                  return std::vector<Tensor>{device.global_avg_pool_backward(dy, shape)};
                });
}

}  // namespace cytograd
