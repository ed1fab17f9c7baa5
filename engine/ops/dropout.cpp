#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable dropout(const Variable& x, const DropoutOptions& options) {
  CHECK(options.probability >= 0.0f && options.probability < 1.0f, "probability {}", options.probability);
  Backend& device = backend(x.value().device());
  return record("dropout", device.dropout(x.value(), options), {x},
                [&device, options](const Tensor& dy, std::span<const bool>) {
                  return std::vector<Tensor>{device.dropout(dy, options)};  // the same draws
                });
}

}  // namespace cytograd
