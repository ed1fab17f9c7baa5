#include "engine/parallel.h"

#include <omp.h>

#include <algorithm>

namespace cytograd {

void use_promised_threads() {
  thread_local const bool done = [] {
    omp_set_dynamic(0);
    if (omp_get_max_active_levels() < 1) omp_set_max_active_levels(1);
    omp_set_num_threads(std::min(omp_get_max_threads(), omp_get_thread_limit()));
    return true;
  }();
  (void)done;
}

int cpu_threads() {
  use_promised_threads();
  return omp_get_max_threads();
}

void limit_threads(int threads) { omp_set_num_threads(std::min(threads, omp_get_thread_limit())); }

void detail::parallel_ranges(int64_t count, int64_t grain, RangeBody call, const void* body) {
  if (count <= 0) return;
  const int64_t units = (count + grain - 1) / grain;
  const int64_t threads = std::min<int64_t>(units, cpu_threads());
  if (threads <= 1) {
    call(body, 0, count);
    return;
  }
#pragma omp parallel num_threads(static_cast <int>(threads))
  {
    const int64_t i = omp_get_thread_num();
    const int64_t n = omp_get_num_threads();
    const int64_t begin = units * i / n * grain;
    const int64_t end = std::min(units * (i + 1) / n * grain, count);
    if (begin < end) call(body, begin, end);
  }
}

}  // namespace cytograd
