// The scalars of an optimizer's steps and how a step moves them: one rule for every device. They live on the device, so
// that a step which is captured once finds at each launch the values of that launch.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace cytograd {

struct StepScalars {
  const float* learning_rate = nullptr;  ///< set before the step
  float* loss_scale = nullptr;           ///< a factor that the step's gradients carry
  int64_t* steady = nullptr;             ///< steps taken since the loss scale changed
  int64_t* attempts = nullptr;           ///< steps begun
  int64_t* steps = nullptr;              ///< of these, taken: the norm was finite
  float* norm = nullptr;                 ///< of this step's gradients together, without the loss scale
  float* factor = nullptr;               ///< of this step's gradients; 0: the step is not taken
  float* adamw = nullptr;                ///< [2]: learning_rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

struct StepRules {
  float max_norm = 0.0f;  ///< 0: gradients are not clipped
  float beta1 = 0.0f;     ///< AdamW's
  float beta2 = 0.0f;
  bool dynamic_loss_scale = false;
};

// Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740) with the constants of torch.amp.GradScaler.
inline constexpr float kFirstLossScale = 65536.0f;
inline constexpr float kLossScaleGrowth = 2.0f;
inline constexpr float kLossScaleBackoff = 0.5f;
inline constexpr int64_t kLossScaleInterval = 2000;

/// Begins the step whose gradients, loss scale included, have the sum of squares `square`. Clips as
/// torch.nn.utils.clip_grad_norm_.
CYTOGRAD_HOST_DEVICE inline void begin_step(const StepScalars& s, double square, const StepRules& rules) {
  const double scale = static_cast<double>(*s.loss_scale);
  const double norm = sqrt(square) / scale;
  const bool taken = norm <= static_cast<double>(FLT_MAX);  // neither NaN nor infinite, as f32 either
  ++*s.attempts;
  *s.norm = static_cast<float>(norm);
  if (rules.dynamic_loss_scale && !taken) {
    *s.loss_scale *= kLossScaleBackoff;
    *s.steady = 0;
  }
  *s.factor = 0.0f;
  if (!taken) return;

  double clip = 1.0;
  if (rules.max_norm > 0.0f) {
    const double wanted = static_cast<double>(rules.max_norm) / (norm + 1e-6);
    clip = wanted < 1.0 ? wanted : 1.0;
  }
  const auto factor = static_cast<float>(clip / scale);
  *s.factor = factor > FLT_MIN ? factor : FLT_MIN;
  const auto t = static_cast<double>(++*s.steps);
  const double first = 1.0 - pow(static_cast<double>(rules.beta1), t);
  const double second = 1.0 - pow(static_cast<double>(rules.beta2), t);
  s.adamw[0] = static_cast<float>(static_cast<double>(*s.learning_rate) / first);
  s.adamw[1] = static_cast<float>(1.0 / sqrt(second));
  if (rules.dynamic_loss_scale && ++*s.steady == kLossScaleInterval) {
    *s.steady = 0;
    if (*s.loss_scale * kLossScaleGrowth <= FLT_MAX) *s.loss_scale *= kLossScaleGrowth;
  }
}

}  // namespace cytograd
