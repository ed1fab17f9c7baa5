// Multi-tensor optimizer steps: all parameters in one launch. Arrays are cut into chunks; a table on the device has an
// entry an array, and a block finds the one that its chunk belongs to.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"
#include "kernels/step_scalars.h"

namespace cytograd {

/// One parameter: what a step updates, `w` and its moments in f32, and what it reads, `x`.
struct StepTerm {
  float* w = nullptr;
  const void* x = nullptr;  ///< the gradient; for launch_ema the weights
  float* first = nullptr;   ///< unless the step has no such moment
  float* second = nullptr;
  int64_t count = 0;          ///< elements
  int64_t first_chunk = 0;    ///< filled by number_chunks
  float weight_decay = 0.0f;  ///< decoupled: w shrinks by learning_rate * weight_decay before the step
  ElementType type = ElementType::f32;  ///< of x
  bool aligned = false;  ///< filled by number_chunks: all arrays start at multiples of 16 bytes
};

/// The terms' table.
struct StepTerms {
  const StepTerm* terms = nullptr;  ///< on the device
  int64_t count = 0;
  int64_t chunks = 0;
};

/// Completes `count` terms on the host. Returns how many chunks they have.
int64_t number_chunks(StepTerm* terms, int64_t count);

struct SgdArguments {
  StepTerms table = {};
  StepScalars scalars = {};
  float momentum = 0.0f;  ///< 0: the terms need no first moment
  bool nesterov = false;
};
/// g = x * factor; first = momentum * first + g; w = w * (1 - learning_rate * weight_decay) - learning_rate * step with
/// step = first, or g + momentum * first (Nesterov), or g without momentum. Nothing where factor is 0.
void launch_sgd(const SgdArguments& arguments, device::Stream stream);

struct AdamwArguments {
  StepTerms table = {};
  StepScalars scalars = {};
  float beta1 = 0.0f;
  float beta2 = 0.0f;
  float epsilon = 0.0f;
};
/// Loshchilov and Hutter, arXiv:1711.05101. g = x * factor; first += (1 - beta1) * (g - first); second = beta2 * second
/// + (1 - beta2) * g^2; w = w * (1 - learning_rate * weight_decay) - adamw[0] * first / (sqrt(second) * adamw[1] +
/// epsilon). Nothing where factor is 0.
void launch_adamw(const AdamwArguments& arguments, device::Stream stream);

/// w = decay * w + (1 - decay) * x, with the one element of `decay`.
void launch_ema(const StepTerms& table, const float* decay, device::Stream stream);

struct BeginStepArguments {
  StepTerms table = {};    ///< of which x, count and type matter
  double* sums = nullptr;  ///< [chunks], scratch
  StepScalars scalars = {};
  StepRules rules = {};
};
/// begin_step of step_scalars.h with the sum of squares of all x together, added in f64 and in one order.
void launch_begin_step(const BeginStepArguments& arguments, device::Stream stream);

}  // namespace cytograd
