// Loops over the CPU's cores, on the OpenMP threads that oneDNN uses too, so that none is ever handed over.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace cytograd {

namespace detail {
using RangeBody = void (*)(const void* body, int64_t begin, int64_t end);
void parallel_ranges(int64_t count, int64_t grain, RangeBody call, const void* body);
}  // namespace detail

/// Threads a parallel loop may use, and gets.
int cpu_threads();

void limit_threads(int threads);  ///< of loops begun on the calling thread from now on

/// Loops begun on the calling thread get as many threads as they ask for, whatever OMP_DYNAMIC, OMP_THREAD_LIMIT and
/// OMP_MAX_ACTIVE_LEVELS say: kernels of oneDNN wait without end for the others that omp_get_max_threads() told of.
void use_promised_threads();

/// Calls body(begin, end) for disjoint ranges that cover [0, count); each but the last a multiple of `grain`
/// long. How many ranges there are depends on the threads: a reduction that must not, loops over chunks of
/// its own. The body must not throw.
template <typename Body>
void parallel_for(int64_t count, int64_t grain, const Body& body) {
  detail::parallel_ranges(
      count, grain,
      [](const void* b, int64_t begin, int64_t end) { (*static_cast<const Body*>(b))(begin, end); },
      std::addressof(body));
}

/// Workers of parallel_tasks.
inline int64_t task_workers(int64_t tasks) { return std::min<int64_t>(tasks, cpu_threads()); }

/// Calls body(worker, task) for each task in [0, tasks), always the next for a worker that is free: for tasks that take
/// unequal times, or of which each wants a workspace, one a worker in [0, task_workers(tasks)).
template <typename Body>
void parallel_tasks(int64_t tasks, const Body& body) {
  std::atomic<int64_t> next = 0;
  parallel_for(task_workers(tasks), 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t task = next++; task < tasks; task = next++) body(worker, task);
    }
  });
}

}  // namespace cytograd
