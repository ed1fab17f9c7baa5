// Matrix products by cuBLASLt. The only place that knows it. https://docs.nvidia.com/cuda/cublas
#pragma once

#include <cstdint>
#include <memory>

#include "engine/tensor.h"
#include "kernels/runtime.h"

namespace cytograd {

class CublasLt {
 public:
  explicit CublasLt(device::Stream stream);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// c = op(a) op(b) for row-major matrices, accumulated in f32; op is the transpose where asked for. a and b have one
  /// floating type, c that or f32. Shapes agree. Throws Error where cuBLASLt has no algorithm.
  struct Product {
    Tensor a;
    Tensor b;
    Tensor c;
    bool transpose_a = false;
    bool transpose_b = false;
  };
  void multiply(const Product& product);

  /// c = a a^T for each of a batch, exact: a [B, M, K] in signed bytes (as u8), c i32 [B, M, M]; M and K multiples of
  /// 16, as tensor cores ask. https://docs.nvidia.com/cuda/cublas/#cublasltmatmul has the rules. Throws as multiply.
  void multiply_bytes(const Tensor& a, Tensor& c);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cytograd
