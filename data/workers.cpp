#include "data/workers.h"

#include <algorithm>
#include <atomic>

namespace cytograd {

void for_each_item(int64_t count, int workers, const std::function<bool(int64_t i)>& work,
                   const std::function<void(int64_t done)>& progress) {
  constexpr auto kPause = std::chrono::milliseconds(20);
  std::atomic<int64_t> next = 0;
  std::atomic<int64_t> done = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::condition_variable ended;
  int running = 0;
  std::exception_ptr error;

  const auto run = [&] {
    try {
      for (int64_t i = next++; i < count && !stop; i = next++, ++done) {
        if (!work(i)) stop = true;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stop = true;
    }
    const std::lock_guard lock(mutex);
    --running;
    ended.notify_all();
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (int i = 0; i < std::max(workers, 1); ++i) {
        {
          const std::lock_guard lock(mutex);
          ++running;
        }
        threads.emplace_back(run);
      }
    } catch (...) {
      stop = true;  // those that run already
      throw;
    }
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, kPause, [&] { return running == 0; })) {
      lock.unlock();
      if (progress) progress(done);
      lock.lock();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace cytograd
