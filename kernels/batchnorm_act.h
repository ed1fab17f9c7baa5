// y = act((x - mean) / sqrt(variance + epsilon) * gamma + beta + residual) over x [rows, C], per channel. Ioffe and
// Szegedy, arXiv:1502.03167; running statistics as torch.nn.functional.batch_norm.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

/// f32 elements of `workspace`, forward and backward. `splits` as in their arguments.
int64_t batchnorm_act_workspace(int64_t rows, int64_t channels, int64_t splits = 0);
/// Of the ReLU's mask: bit i of byte [row, e] is set where the ReLU lets channel 8 e + i through.
int64_t batchnorm_act_mask_bytes(int64_t rows, int64_t channels);

/// Training. x, residual and y are [rows, C] of `type`, parameters and statistics f32 [C]. At least two rows.
struct BatchnormActTrainArguments {
  const void* x = nullptr;
  const void* residual = nullptr;  ///< null: none
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float* running_mean = nullptr;       ///< updated
  float* running_var = nullptr;        ///< updated, with the unbiased variance
  int64_t* batches_tracked = nullptr;  ///< counted up; null: not wanted
  float* mean = nullptr;               ///< written: of this batch
  float* inv_std = nullptr;            ///< written: 1 / sqrt(biased variance + epsilon)
  void* y = nullptr;
  uint8_t* mask = nullptr;  ///< written; null: no ReLU
  float* workspace = nullptr;
  int64_t rows = 0;
  int64_t channels = 0;
  int64_t splits = 0;  ///< parts of the rows that are summed apart; 0: as fills the device
  float epsilon = 0.0f;
  float momentum = 0.0f;
  ElementType type = ElementType::f32;
};
void launch_batchnorm_act_train(const BatchnormActTrainArguments& arguments, device::Stream stream);

/// The same with given statistics.
struct BatchnormActEvalArguments {
  const void* x = nullptr;
  const void* residual = nullptr;  ///< null: none
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const float* mean = nullptr;
  const float* variance = nullptr;
  void* y = nullptr;
  int64_t rows = 0;
  int64_t channels = 0;
  float epsilon = 0.0f;
  bool relu = false;
  ElementType type = ElementType::f32;
};
void launch_batchnorm_act_eval(const BatchnormActEvalArguments& arguments, device::Stream stream);

/// Gradients of training: dy, more, x, dx and dresidual are [rows, C] of `type`, the rest f32 [C].
struct BatchnormActBackwardArguments {
  const void* dy = nullptr;
  const void* more = nullptr;  ///< added to dy, the sum rounded to `type`; asks for dresidual. Null: nothing
  const void* x = nullptr;
  const uint8_t* mask = nullptr;  ///< null: no ReLU
  const float* gamma = nullptr;
  const float* mean = nullptr;
  const float* inv_std = nullptr;
  void* dx = nullptr;
  void* dresidual = nullptr;  ///< null: not wanted
  float* dgamma = nullptr;
  float* dbeta = nullptr;
  float* workspace = nullptr;
  int64_t rows = 0;
  int64_t channels = 0;
  int64_t splits = 0;  ///< parts of the rows that are summed apart; 0: as fills the device
  ElementType type = ElementType::f32;
};
void launch_batchnorm_act_backward(const BatchnormActBackwardArguments& arguments, device::Stream stream);

}  // namespace cytograd
