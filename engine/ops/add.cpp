#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable add(const Variable& a, const Variable& b) {
  Backend& device = backend_of({&a.value(), &b.value()});
  CHECK(a.shape() == b.shape() && a.value().dtype() == b.value().dtype(), "{} + {}", a.shape(), b.shape());
  return record("add", device.add(a.value(), b.value()), {a, b}, [](const Tensor& dy, std::span<const bool>) {
    return std::vector<Tensor>{dy, dy};
  });
}

}  // namespace cytograd
