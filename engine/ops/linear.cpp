#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Variable linear(const Variable& x, const Variable& w, const Variable& b) {
  Backend& device = backend_of({&x.value(), &w.value(), &b.value()});
  CHECK(x.shape().rank() == 2 && w.shape().rank() == 2 && x.shape()[1] == w.shape()[1], "x {}, w {}",
        x.shape(), w.shape());
  CHECK(x.value().elements() > 0 && w.value().elements() > 0, "x {}, w {}", x.shape(), w.shape());
  CHECK(b.shape() == Shape{w.shape()[0]} && b.value().dtype() == DType::f32, "w {}, b {} {}", w.shape(),
        dtype_name(b.value().dtype()), b.shape());
  return record("linear", device.linear(x.value(), w.value(), b.value()), {x, w, b},
                [&device, x = x.value(), w = w.value()](const Tensor& dy, std::span<const bool> needed) {
                  Tensor dx;
                  Tensor dw;
                  Tensor db;
                  if (needed[0]) dx = device.linear_backward_input(dy, w);
                  if (needed[1]) dw = device.linear_backward_weight(dy, x);
                  if (needed[2]) db = device.linear_backward_bias(dy);
                  return std::vector<Tensor>{dx, dw, db};
                });
}

}  // namespace cytograd
