// What an optimizer's steps share, on its device.
#pragma once

#include "engine/tensor.h"
#include "kernels/step_scalars.h"

namespace cytograd {

/// The tensors behind StepScalars, where each is explained.
struct StepState {
  /// No step taken, a loss scale of 1.
  explicit StepState(Device device);

  /// The tensors' elements; a kernel or, on Device::cpu, the host may follow the pointers.
  StepScalars scalars() const;

  Tensor learning_rate;  // f32 []
  Tensor loss_scale;     // f32 []
  Tensor steady;         // i64 []
  Tensor attempts;       // i64 []
  Tensor steps;          // i64 []
  Tensor norm;           // f32 []
  Tensor factor;         // f32 []
  Tensor adamw;          // f32 [2]
};

}  // namespace cytograd
