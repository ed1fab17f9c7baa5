#include <cstdint>

#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable max_pool2d(const Variable& x, const MaxPool2dOptions& options) {
  const Shape& shape = x.shape();
  CHECK(shape.rank() == 4, "x {}", shape);
  CHECK(options.window >= 1 && options.window <= 15 && options.stride >= 1 && options.stride <= INT32_MAX,
        "window {}, stride {}", options.window, options.stride);
  CHECK(options.padding >= 0 && options.padding <= options.window / 2, "padding {} of window {}",
        options.padding, options.window);
  CHECK(shape[1] + 2 * options.padding >= options.window && shape[2] + 2 * options.padding >= options.window,
        "x {}, window {}, padding {}", shape, options.window, options.padding);
  Backend& device = backend_of({&x.value()});
  auto forward = device.max_pool2d(x.value(), options);
  return record("max_pool2d", std::move(forward.y), {x},
                [&device, index = forward.index, shape, options](const Tensor& dy, std::span<const bool>) {
                  return std::vector<Tensor>{device.max_pool2d_backward(dy, index, shape, options)};
                });
}

}  // namespace cytograd
