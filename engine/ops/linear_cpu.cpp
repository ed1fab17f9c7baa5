#include <algorithm>
#include <array>

#include "engine/backend_cpu.h"
#include "engine/onednn.h"
#include "engine/ops/bf16_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

void check_type(const Tensor& x) {
  if (x.dtype() == DType::f16) fail("the CPU computes no linear layer in f16; use bf16 or f32");
}

}  // namespace

Tensor CpuBackend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  check_type(x);
  if (must_widen(x.dtype())) return cast(linear(widened(*this, x), widened_weights(*this, w), b), x.dtype());
  return plans_->matmul({.a = x, .b = w, .transpose_b = true, .bias = b, .result = x.dtype()});
}

Tensor CpuBackend::linear_backward_input(const Tensor& dy, const Tensor& w) {
  check_type(dy);
  if (must_widen(dy.dtype()))
    return cast(linear_backward_input(widened(*this, dy), widened(*this, w)), dy.dtype());
  return plans_->matmul({.a = dy, .b = w, .result = dy.dtype()});
}

Tensor CpuBackend::linear_backward_weight(const Tensor& dy, const Tensor& x) {
  check_type(x);
  if (must_widen(x.dtype())) return linear_backward_weight(widened(*this, dy), widened(*this, x));
  return plans_->matmul({.a = dy, .transpose_a = true, .b = x, .result = DType::f32});
}

Tensor CpuBackend::linear_backward_bias(const Tensor& dy) {
  check_type(dy);
  constexpr int64_t kBlock = 64;
  const int64_t rows = dy.dim(0);
  const int64_t columns = dy.dim(1);
  Tensor db = Tensor::empty({columns});
  float* sums = db.data<float>();
  dispatch_float(dy.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* values = dy.data<T>();
    // A thread owns its columns and adds their rows from top to bottom, so threads do not change a sum.
    parallel_for(columns, kBlock, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kBlock) {
        const int64_t count = std::min(kBlock, end - first);
        std::array<double, kBlock> block{};
        for (int64_t row = 0; row < rows; ++row) {
          const T* source = values + row * columns + first;
          for (int64_t i = 0; i < count; ++i)
            block[static_cast<size_t>(i)] += static_cast<double>(static_cast<float>(source[i]));
        }
        for (int64_t i = 0; i < count; ++i)
          sums[first + i] = static_cast<float>(block[static_cast<size_t>(i)]);
      }
    });
  });
  return db;
}

}  // namespace cytograd
