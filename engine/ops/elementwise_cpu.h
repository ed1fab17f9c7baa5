// One pass over flat arrays on all cores. Bound by memory.
#pragma once

#include <cstdint>

#include "engine/parallel.h"

namespace cytograd {

/// Elements below which a range is not worth another thread.
constexpr int64_t kElementwiseGrain = 16 * 1024;

/// y[i] = f(float of x[i]...), rounded to y's type.
template <typename F, typename Y, typename... X>
void elementwise(int64_t count, const F& f, Y* y, const X*... x) {
  parallel_for(count, kElementwiseGrain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = Y(f(static_cast<float>(x[i])...));
  });
}

}  // namespace cytograd
