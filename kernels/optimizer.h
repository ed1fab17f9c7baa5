// Multi-tensor optimizer steps: all parameters in one launch. Arrays are cut into chunks; a table on the device has an
// entry an array, and a block finds the one that its chunk belongs to.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

/// One parameter: what a step updates, `w` and its moments in f32, and what it reads, `x`.
struct StepTerm {
  float* w = nullptr;
  const void* x = nullptr;  ///< the gradient; for launch_ema the weights
  float* first = nullptr;   ///< unless the step has no such moment
  float* second = nullptr;
  int64_t count = 0;                    ///< elements
  int64_t first_chunk = 0;              ///< filled by number_chunks
  float keep = 1.0f;                    ///< of w, before the step: 1 - learning_rate * weight_decay
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
  const float* gradient_scale = nullptr;  ///< one factor for all gradients
  float learning_rate = 0.0f;
  float momentum = 0.0f;  ///< 0: the terms need no first moment
  bool nesterov = false;
};
/// g = x * gradient_scale; first = momentum * first + g; w = w * keep - learning_rate * step with step = first, or
/// g + momentum * first (Nesterov), or g without momentum.
void launch_sgd(const SgdArguments& arguments, device::Stream stream);

struct AdamwArguments {
  StepTerms table = {};
  const float* gradient_scale = nullptr;
  float beta1 = 0.0f;
  float beta2 = 0.0f;
  float epsilon = 0.0f;
  float step_size = 0.0f;    ///< learning_rate / (1 - beta1^t)
  float root_factor = 0.0f;  ///< 1 / sqrt(1 - beta2^t)
};
/// Loshchilov and Hutter, arXiv:1711.05101. g = x * gradient_scale; first += (1 - beta1) * (g - first);
/// second = beta2 * second + (1 - beta2) * g^2; w = w * keep - step_size * first / (sqrt(second) * root_factor +
/// epsilon).
void launch_adamw(const AdamwArguments& arguments, device::Stream stream);

/// w = decay * w + (1 - decay) * x.
void launch_ema(const StepTerms& table, float decay, device::Stream stream);

struct ClipNormArguments {
  StepTerms table = {};     ///< of which x, count and type matter
  double* sums = nullptr;   ///< [chunks], scratch
  float max_norm = 0.0f;    ///< 0: no limit
  float* result = nullptr;  ///< [2]
};
/// result = {norm, min(1, max_norm / (norm + 1e-6))} of all x together; the second is 1 without a limit, and 0 where
/// the norm is not finite. Added in f64, in one order.
void launch_clip_norm(const ClipNormArguments& arguments, device::Stream stream);

}  // namespace cytograd
