// Work on many items by threads that read, decode and write.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace cytograd {

/// Calls work(i) for i from 0 to count - 1, each once, on `workers` threads, until one returns false or throws; what it
/// throws comes out here, once all threads have stopped. `progress`, if there is one, is called on the calling thread
/// with how many are done.
void for_each_item(int64_t count, int workers, const std::function<bool(int64_t i)>& work,
                   const std::function<void(int64_t done)>& progress);

struct InOrder {
  int64_t first = 0;
  int64_t count = 0;  ///< one behind the last
  int workers = 1;    ///< threads, one at least
  int64_t ahead = 4;  ///< results that are made and not taken yet, at most
};

/// Calls make(i) for i from `first` on, on threads, and take(i, result) on the calling thread, in order. Throws what
/// one of them throws, once all threads have stopped.
template <typename Result>
void for_each_in_order(const InOrder& options, const std::function<Result(int64_t i)>& make,
                       const std::function<void(int64_t i, Result result)>& take) {
  struct Slot {
    std::optional<Result> result;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int64_t, Slot> ready;
  int64_t claimed = options.first;
  int64_t taken = options.first;
  bool stop = false;

  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stop || claimed >= options.count || claimed < taken + options.ahead; });
      if (stop || claimed >= options.count) return;
      const int64_t i = claimed++;
      lock.unlock();
      Slot slot;
      try {
        slot.result = make(i);
      } catch (...) {
        slot.error = std::current_exception();
      }
      lock.lock();
      ready[i] = std::move(slot);
      changed.notify_all();
    }
  };
  struct StopAll {
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& stop;
    std::vector<std::jthread> threads = {};

    ~StopAll() {
      {
        const std::lock_guard lock(mutex);
        stop = true;
      }
      changed.notify_all();
    }
  } all{mutex, changed, stop};
  for (int i = 0; i < std::max(options.workers, 1); ++i) all.threads.emplace_back(work);
  for (int64_t i = options.first; i < options.count; ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ready.contains(i); });
    Slot slot = std::move(ready.extract(i).mapped());
    taken = i + 1;
    lock.unlock();
    changed.notify_all();
    if (slot.error) std::rethrow_exception(slot.error);
    take(i, std::move(*slot.result));
  }
}

}  // namespace cytograd
