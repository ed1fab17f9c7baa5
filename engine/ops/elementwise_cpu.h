// One pass over flat arrays on all cores. Bound by memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "engine/dtype.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {

/// Elements below which a range is not worth another thread.
constexpr int64_t kElementwiseGrain = 16 * 1024;
constexpr int64_t kElementwiseBlock = 1024;  // on the stack, in the L1 cache

/// y[i] = f(float of x[i]...), rounded to y's type.
template <typename F, typename Y, typename... X>
void elementwise(int64_t count, const F& f, Y* y, const X*... x) {
  choose_streamed(is_streamed(count * static_cast<int64_t>(sizeof(Y))), [=]<typename Streamed>(Streamed) {
    parallel_for(count, kElementwiseGrain, [=](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kElementwiseBlock) {
        const int64_t elements = std::min(kElementwiseBlock, end - first);
        write<Streamed::value, kElementwiseBlock>(y + first, elements, [=](Y* room) {
#pragma omp simd
          for (int64_t i = 0; i < elements; ++i)
            store_rounded(room[i], f(static_cast<float>(x[first + i])...));
        });
      }
      stream_fence();
    });
  });
}

}  // namespace cytograd
