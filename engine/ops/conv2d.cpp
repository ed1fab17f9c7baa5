#include <algorithm>
#include <cstdint>

#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable conv2d(const Variable& x, const Variable& w, const Conv2dOptions& options) {
  Backend& device = backend_of({&x.value(), &w.value()});
  const Shape& xs = x.shape();
  const Shape& ws = w.shape();
  CHECK(xs.rank() == 4 && ws.rank() == 4 && xs[3] == ws[3], "x {}, w {}", xs, ws);
  CHECK(xs.elements() > 0 && ws.elements() > 0, "x {}, w {}", xs, ws);
  CHECK(options.stride >= 1 && options.padding >= 0 && std::max(options.stride, options.padding) <= INT32_MAX,
        "stride {}, padding {}", options.stride, options.padding);
  CHECK(xs[1] + 2 * options.padding >= ws[1] && xs[2] + 2 * options.padding >= ws[2],
        "x {}, w {}, padding {}", xs, ws, options.padding);
  return record(
      "conv2d", device.conv2d(x.value(), w.value(), options), {x, w},
      [&device, x = x.value(), w = w.value(), options](const Tensor& dy, std::span<const bool> needed) {
        Tensor dx;
        Tensor dw;
        if (needed[0]) dx = device.conv2d_backward_input(dy, w, x.shape(), options);
        if (needed[1]) dw = device.conv2d_backward_weight(dy, x, w, options);
        return std::vector<Tensor>{dx, dw};
      });
}

}  // namespace cytograd
