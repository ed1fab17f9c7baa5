#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable cast(const Variable& x, DType dtype) {
  Backend& device = backend_of({&x.value()});
  const DType from = x.value().dtype();
  if (from == dtype) return x;
  return record("cast", device.cast(x.value(), dtype), {x},
                [&device, from](const Tensor& dy, std::span<const bool>) {
                  return std::vector<Tensor>{device.cast(dy, from)};
                });
}

}  // namespace cytograd
