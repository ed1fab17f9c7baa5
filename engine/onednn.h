// The one place that knows oneDNN (https://uxlfoundation.github.io/oneDNN, versions 2.6 to 3): convolutions and matrix
// products on the CPU. Everything above it speaks tensors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "engine/op_options.h"
#include "engine/tensor.h"

namespace cytograd {

/// Plans of oneDNN primitives, made on first use and kept by operation, shapes, types and options. Weights are brought
/// into the layout that oneDNN prefers for the shape on every call, because they change on every training step, or
/// once, within ConstantWeights; that copy also casts them to the activations' type. Temporaries come from the buffer
/// pool. Types are f32 and bf16; sums are f32. All methods throw Error where oneDNN has no implementation.
class OnednnPlans {
 public:
  OnednnPlans();
  ~OnednnPlans();
  OnednnPlans(const OnednnPlans&) = delete;
  OnednnPlans& operator=(const OnednnPlans&) = delete;

  /// Whether this processor has what oneDNN needs for the type: bf16 wants AVX-512, be it to emulate it.
  static bool computes(DType dtype);
  /// Whether oneDNN multiplies bf16 by the processor's own instructions, as far as ONEDNN_MAX_CPU_ISA lets it.
  static bool multiplies_bf16();

  /// Whether conv2d_backward_input is right. In bf16 oneDNN 2.6.3 gets it wrong for windows of 1x1 with an odd number
  /// of output channels and, say, 30 or 900 pixels an image.
  static bool computes_input_gradient(const Tensor& dy, const Tensor& w) {
    return dy.dtype() != DType::bf16 || w.dim(1) * w.dim(2) > 1 || w.dim(0) % 2 == 0;
  }
  /// Whether conv2d_backward_weight is right. oneDNN 2.6.3 writes past its scratch memory for strided windows of 1x1 on
  /// fewer input channels than a vector has; and in bf16 it makes of what that memory held the gradients of taps that
  /// only meet padding.
  static bool computes_weight_gradient(const Tensor& x, const Shape& w, const Conv2dOptions& options);

  /// x [N, H, W, I], w [O, KH, KW, I] -> y [N, H', W', O] in x's type.
  Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options);
  /// dy [N, H', W', O] -> dx of `x_shape` in dy's type.
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                               const Conv2dOptions& options);
  /// dw of w's shape and type; of w nothing else is read.
  Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                const Conv2dOptions& options);

  struct MatmulArguments {
    Tensor a;  ///< [M, K], or [K, M] where transposed; f32 or bf16
    bool transpose_a = false;
    Tensor b;  ///< [K, N], or [N, K] where transposed; cast to a's type
    bool transpose_b = false;
    Tensor bias{};  ///< f32 [N], or undefined
    DType result = DType::f32;

    /// [M, N]
    Shape result_shape() const { return {a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)}; }
  };
  /// a b + bias -> [M, N] in the type asked for.
  Tensor matmul(const MatmulArguments& arguments);

 private:
  enum class Op : int64_t { conv2d, conv2d_backward_input, conv2d_backward_weight, matmul };
  using Key = std::array<int64_t, 14>;
  struct Plan;
  struct State;

  static Key convolution_key(Op op, const Shape& x, DType x_type, const Tensor& w,
                             const Conv2dOptions& options);
  const Plan& convolution_plan(Op op, const Shape& x, DType x_type, const Tensor& w,
                               const Conv2dOptions& options);
  const Plan& matmul_plan(const MatmulArguments& arguments);

  std::unique_ptr<State> state_;
};

/// C = A B, or C += A B; A is m x k, B is k x n, C is m x n.
struct SgemmArguments {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;
  int64_t a_stride = 0;  ///< floats from one row to the next, as it lies in memory
  bool transpose_a = false;
  const float* b = nullptr;
  int64_t b_stride = 0;
  bool transpose_b = false;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};
/// On row-major f32 matrices in place. Inside a parallel region it runs on the calling thread alone. False
/// where oneDNN reports a failure (memory); it never throws.
[[nodiscard]] bool sgemm(const SgemmArguments& arguments) noexcept;

}  // namespace cytograd
