// Learning rates as pure functions of the step: nothing to save, and a resumed run goes on where it was.
#pragma once

#include <cstdint>
#include <string_view>

namespace cytograd {

enum class ScheduleKind : uint8_t {
  constant,   ///< warm-up, then `peak`
  cosine,     ///< warm-up, then half a cosine from `peak` to `peak * final_fraction`
  one_cycle,  ///< Smith and Topin, arXiv:1708.07120, as torch.optim.lr_scheduler.OneCycleLR
};

/// "constant", "cosine" or "one_cycle"; throws Error for another name.
ScheduleKind parse_schedule(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 0.1;  ///< the highest learning rate
  int64_t steps = 1;  ///< optimizer steps of the whole training

  // constant and cosine
  int64_t warmup_steps = 0;     ///< linear from peak / 25 at step 0 to `peak` at step `warmup_steps`
  double final_fraction = 0.0;  ///< of the cosine, reached at step `steps`, one after the last

  // one_cycle: cosine from peak / div_factor up to peak, and down to peak / div_factor / final_div_factor at
  // the last step. Momentum is not cycled.
  double pct_start = 0.3;  ///< share of the steps that rise
  double div_factor = 25.0;
  double final_div_factor = 1e4;
};

/// The learning rate of step `step`, counted from 0; steps past the end keep the end's. Throws CheckError
/// where an option has no meaning.
double learning_rate(const ScheduleOptions& options, int64_t step);

}  // namespace cytograd
