#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable dropout(const Variable& x, const DropoutOptions& options) {
  CHECK(options.probability >= 0.0f && options.probability < 1.0f, "probability {}", options.probability);
  CHECK(!options.step.defined() || (options.step.elements() == 1 && options.step.dtype() == DType::i64 &&
                                    options.step.device() == x.value().device()),
        "x on {}, step {} {} on {}", device_name(x.value().device()), dtype_name(options.step.dtype()),
        options.step.shape(), device_name(options.step.device()));
  Backend& device = backend_of({&x.value()});
  return record("dropout", device.dropout(x.value(), options), {x},
                [&device, options](const Tensor& dy, std::span<const bool>) {
                  return std::vector<Tensor>{device.dropout(dy, options)};  // the same draws
                });
}

}  // namespace cytograd
