// A batch norm of random inputs, on the CPU.
#pragma once

#include "engine/backend.h"
#include "tests/support/values.h"

namespace cytograd::test {

struct BatchnormCase {
  Shape shape;
  DType dtype = DType::f32;
  bool relu = true;
  bool residual = true;
};

struct BatchnormLayer {
  Backend::BatchnormActArguments arguments;
  BatchnormActOptions options;
  Tensor dy;

  explicit BatchnormLayer(const BatchnormCase& c) {
    const Shape channels{c.shape[c.shape.rank() - 1]};
    arguments = {normal(c.shape, 1, c.dtype, 0.5, 2.0),
                 normal(channels, 2, DType::f32, 1.0, 0.3),
                 normal(channels, 3),
                 normal(channels, 4),
                 normal(channels, 5, DType::f32, 4.0, 0.5),
                 c.residual ? normal(c.shape, 6, c.dtype) : Tensor()};
    options.relu = c.relu;
    dy = normal(c.shape, 7, c.dtype);
  }
  int64_t channels() const { return arguments.gamma.elements(); }
  int64_t rows() const { return arguments.x.elements() / channels(); }
};

}  // namespace cytograd::test
