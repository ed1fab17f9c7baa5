#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/check.h"

namespace cytograd {
namespace {

constexpr double kWarmupDivisor = 25.0;

/// Half a cosine from `start` at 0 to `end` at 1.
double anneal(double start, double end, double t) {
  return end + (start - end) / 2.0 * (1.0 + std::cos(std::numbers::pi * t));
}

double one_cycle(const ScheduleOptions& options, double step) {
  const double initial = options.peak / options.div_factor;
  const double lowest = initial / options.final_div_factor;
  const double top = options.pct_start * static_cast<double>(options.steps) - 1.0;
  const double last = static_cast<double>(options.steps) - 1.0;
  step = std::min(step, last);
  if (step <= top) return top > 0.0 ? anneal(initial, options.peak, step / top) : options.peak;
  return anneal(options.peak, lowest, (step - top) / (last - top));
}

}  // namespace

ScheduleKind parse_schedule(std::string_view name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "cosine") return ScheduleKind::cosine;
  if (name == "one_cycle") return ScheduleKind::one_cycle;
  fail("unknown learning-rate schedule '{}'; known: constant, cosine, one_cycle", name);
}

double learning_rate(const ScheduleOptions& options, int64_t step) {
  CHECK(step >= 0 && options.steps >= 1, "step {} of {}", step, options.steps);
  CHECK(options.warmup_steps >= 0, "{} warm-up steps", options.warmup_steps);
  CHECK(options.pct_start >= 0.0 && options.pct_start <= 1.0 && options.div_factor > 0.0 &&
            options.final_div_factor > 0.0,
        "pct_start {}, div_factor {}, final_div_factor {}", options.pct_start, options.div_factor,
        options.final_div_factor);
  const auto now = static_cast<double>(step);
  if (options.kind == ScheduleKind::one_cycle) return one_cycle(options, now);

  const auto warmup = static_cast<double>(options.warmup_steps);
  if (now < warmup) return options.peak * (1.0 + (kWarmupDivisor - 1.0) * now / warmup) / kWarmupDivisor;
  if (options.kind == ScheduleKind::constant) return options.peak;
  const double rest = static_cast<double>(options.steps) - warmup;
  const double t = rest > 0.0 ? std::min((now - warmup) / rest, 1.0) : 1.0;
  return anneal(options.peak, options.peak * options.final_fraction, t);
}

}  // namespace cytograd
