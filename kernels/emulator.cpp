#include "kernels/emulator.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/emulated_fiber.h"
#include "kernels/emulated_memory.h"

namespace cytograd::emulator {
namespace {

constexpr int kWarp = 32;

// ---- where this host thread is, for messages

thread_local const Launch* current_launch = nullptr;

std::string format_index(const dim3& i) {
  return i.y == 0 && i.z == 0 ? fmt::format("{}", i.x) : fmt::format("({}, {}, {})", i.x, i.y, i.z);
}

std::string place() {
  return fmt::format("kernel {}, block {}, thread {}", current_launch->name, format_index(blockIdx),
                     format_index(threadIdx));
}

// ---- the running block

struct Thread {
  dim3 index;
  Fiber* fiber = nullptr;
  bool waiting = false;
  bool done = false;
  Meeting meeting{};
  uint64_t answer = 0;
};

class Block;
thread_local Block* current_block = nullptr;

// Of a block on compute capability 9.0: what a kernel declares, and with it what a launch may ask for.
constexpr size_t kMostFixedShared = 48 << 10;
constexpr size_t kMostShared = 227 << 10;

/// The fibers and storage that this host thread's launches use again and again.
class Block {
 public:
  /// What a block finds of the launch before is not worth keeping.
  void forget_storage() { shared_.clear(); }

  void run(const Launch& launch, const dim3& index, const std::function<void()>& work,
           std::mt19937_64& random) {
    prepare(launch, index, work);
    order_.resize(threads_.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    if (schedule().order == Order::reverse) std::reverse(order_.begin(), order_.end());
    for (;;) {
      const bool ran = schedule().order == Order::random ? run_shuffled(random) : run_warp_after_warp();
      if (std::all_of(threads_.begin(), threads_.end(), [](const Thread& t) { return t.done; })) return;
      if (!release_block() && !ran) report_divergence();
    }
  }

  uint64_t meet(const Meeting& meeting) {
    Thread& thread = threads_[running_];
    const int lane = static_cast<int>(running_ % kWarp);
    if (meeting.kind != Collective::block_barrier) {
      if ((meeting.mask >> lane & 1u) == 0)
        throw Fault(fmt::format("{}:{}: {} takes part in a warp operation whose mask {:#010x} leaves it out",
                                meeting.file, meeting.line, place(), meeting.mask));
      if (meeting.kind == Collective::shuffle &&
          (meeting.source < 0 || meeting.source >= kWarp || (meeting.mask >> meeting.source & 1u) == 0))
        throw Fault(
            fmt::format("{}:{}: {} shuffles from lane {}, which is out of range or not in the mask {:#010x}",
                        meeting.file, meeting.line, place(), meeting.source, meeting.mask));
    }
    thread.meeting = meeting;
    thread.waiting = true;
    thread.fiber->suspend();
    return threads_[running_].answer;
  }

  void* shared(const void* key, size_t bytes) {
    auto& storage = shared_[key];
    if (storage.size() != bytes) {
      storage.resize(bytes);
      poison_shared(storage.data(), bytes);
      check_shared_bytes();
    }
    return storage.data();
  }
  void* dynamic() { return dynamic_.data(); }

 private:
  struct alignas(16) Unit {
    std::byte bytes[16];
  };
  /// Aligned to 16, as shared memory is; of the exact size, so that AddressSanitizer sees its end.
  class Storage {
   public:
    size_t size() const { return size_; }
    void* data() { return memory_.get(); }
    void resize(size_t bytes) {
      memory_.reset(
          static_cast<std::byte*>(::operator new (std::max<size_t>(bytes, 1), std::align_val_t{16})));
      size_ = bytes;
    }

   private:
    struct Free {
      void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{16}); }
    };
    std::unique_ptr<std::byte, Free> memory_;
    size_t size_ = 0;
  };

  void check_shared_bytes() const {
    size_t fixed = 0;
    for (const auto& [key, storage] : shared_) fixed += storage.size();
    if (fixed > kMostFixedShared || fixed + dynamic_.size() > kMostShared)
      throw Fault(
          fmt::format("kernel {}: {} bytes of shared memory and {} of the launch's are more than a block has",
                      current_launch->name, fixed, dynamic_.size()));
  }

  void prepare(const Launch& launch, const dim3& index, const std::function<void()>& work) {
    blockIdx = index;
    const size_t count = size_t{launch.block.x} * launch.block.y * launch.block.z;
    while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>());
    threads_.assign(count, {});
    for (size_t t = 0; t < count; ++t) {
      threads_[t].index = {static_cast<unsigned>(t % launch.block.x),
                           static_cast<unsigned>(t / launch.block.x % launch.block.y),
                           static_cast<unsigned>(t / launch.block.x / launch.block.y)};
      threads_[t].fiber = fibers_[t].get();
      fibers_[t]->start(work);
    }
    for (auto& [key, storage] : shared_) poison_shared(storage.data(), storage.size());
    if (dynamic_.size() != launch.shared_bytes) {
      dynamic_.resize(launch.shared_bytes);
      check_shared_bytes();
    }
    poison_shared(dynamic_.data(), dynamic_.size());
  }

  bool together(const Meeting& a, const Meeting& b) const {
    return a.kind == b.kind && a.line == b.line && a.mask == b.mask && std::string_view(a.file) == b.file;
  }

  /// Each thread up to a barrier of the block, in an order that changes with each operation of a warp. Returns whether
  /// any could run.
  bool run_shuffled(std::mt19937_64& random) {
    bool ran = false;
    do {
      std::shuffle(order_.begin(), order_.end(), random);
      ran = run_threads(order_) || ran;
    } while (release_warps());
    return ran;
  }

  /// A warp up to a barrier of the block before the next one begins: what they share without one is then seen.
  bool run_warp_after_warp() {
    bool ran = false;
    const std::span<const size_t> all(order_);
    for (size_t at = 0; at < all.size();) {
      const size_t first = all[at] / kWarp * kWarp, lanes = lanes_of_warp(first);
      do {
        ran = run_threads(all.subspan(at, lanes)) || ran;
      } while (release_warp_at(first, lanes));
      at += lanes;
    }
    return ran;
  }

  size_t lanes_of_warp(size_t first) const { return std::min<size_t>(kWarp, threads_.size() - first); }

  /// Runs those that can, up to where each waits.
  bool run_threads(std::span<const size_t> threads) {
    bool ran = false;
    for (const size_t t : threads) {
      Thread& thread = threads_[t];
      if (thread.done || thread.waiting) continue;
      ran = true;
      running_ = t;
      threadIdx = thread.index;
      thread.fiber->resume();
      thread.done = thread.fiber->finished();
    }
    return ran;
  }

  /// Answers those of each warp whose whole mask has arrived at one operation.
  bool release_warps() {
    bool released = false;
    for (size_t first = 0; first < threads_.size(); first += kWarp)
      released = release_warp_at(first, lanes_of_warp(first)) || released;
    return released;
  }
  bool release_warp_at(size_t first, size_t lanes) {
    bool released = false;
    for (size_t lane = 0; lane < lanes; ++lane) {
      const Thread& thread = threads_[first + lane];
      if (!thread.waiting || thread.meeting.kind == Collective::block_barrier) continue;
      released = release_warp({threads_.data() + first, lanes}, Meeting(thread.meeting)) || released;
    }
    return released;
  }

  bool release_warp(std::span<Thread> lanes, const Meeting& meeting) {
    // A mask may name lanes that a short last warp does not have.
    uint32_t votes = 0;
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      if ((meeting.mask >> lane & 1u) == 0) continue;
      if (!lanes[lane].waiting || !together(lanes[lane].meeting, meeting)) return false;
      votes |= static_cast<uint32_t>(lanes[lane].meeting.value != 0) << lane;
    }
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      if ((meeting.mask >> lane & 1u) == 0) continue;
      Thread& thread = lanes[lane];
      thread.answer = votes;
      if (meeting.kind == Collective::shuffle) {
        const auto source = static_cast<size_t>(thread.meeting.source);
        if (source >= lanes.size())
          throw Fault(fmt::format("{}:{}: kernel {} shuffles from lane {} of a warp of {} threads",
                                  meeting.file, meeting.line, current_launch->name, source, lanes.size()));
        thread.answer = lanes[source].meeting.value;
      }
      thread.waiting = false;
    }
    return true;
  }

  bool release_block() {
    uint64_t count = 0;
    for (const Thread& thread : threads_) {
      if (thread.done || !thread.waiting || !together(thread.meeting, threads_.front().meeting) ||
          thread.meeting.kind != Collective::block_barrier)
        return false;
      count += thread.meeting.value;
    }
    for (Thread& thread : threads_) {
      thread.waiting = false;
      thread.answer = count;
    }
    return true;
  }

  [[noreturn]] void report_divergence() const {
    // The first thread that waits, and the first that is elsewhere.
    const auto waits =
        std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) { return t.waiting; });
    const auto elsewhere = std::find_if(threads_.begin(), threads_.end(), [&](const Thread& t) {
      return t.done || !together(t.meeting, waits->meeting);
    });
    std::string other = "the others never come";
    if (elsewhere != threads_.end()) {
      other = elsewhere->done ? fmt::format("thread {} has ended", format_index(elsewhere->index))
                              : fmt::format("thread {} waits at {}:{}", format_index(elsewhere->index),
                                            elsewhere->meeting.file, elsewhere->meeting.line);
    }
    const char* what = waits->meeting.kind == Collective::block_barrier ? "barrier" : "warp operation";
    throw Fault(fmt::format("kernel {}, block {}: divergent {}: thread {} waits at {}:{}, {}",
                            current_launch->name, format_index(blockIdx), what, format_index(waits->index),
                            waits->meeting.file, waits->meeting.line, other));
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Thread> threads_;
  std::vector<size_t> order_;
  size_t running_ = 0;
  std::map<const void*, Storage> shared_;
  Storage dynamic_;
};

Schedule schedule_from_environment() {
  const char* text = std::getenv("CYTOGRAD_EMULATOR");
  const std::string_view name = text == nullptr ? "forward" : text;
  if (name == "reverse") return {Order::reverse, 0};
  if (name == "random") return {Order::random, 1};
  if (name == "forward") return {};
  throw Fault(fmt::format("CYTOGRAD_EMULATOR={}: expected forward, reverse or random", name));
}

Schedule& this_schedule() {
  thread_local Schedule schedule = schedule_from_environment();
  return schedule;
}

thread_local bool checking = false;

}  // namespace

void set_schedule(const Schedule& schedule) { this_schedule() = schedule; }
Schedule schedule() { return this_schedule(); }
void set_checking(bool on) { checking = on; }

void run(const Launch& launch, const std::function<void()>& thread) {
  // Never destroyed: fibers that have a stack of their own cannot be unwound once the host thread ends.
  thread_local auto& block = *new std::unique_ptr<Block>(std::make_unique<Block>());  // NOLINT
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const size_t threads = size_t{launch.block.x} * launch.block.y * launch.block.z;
  if (blocks == 0 || threads == 0 || threads > 1024 || launch.grid.y > 65535 || launch.grid.z > 65535)
    throw Fault(fmt::format("kernel {}: a grid of ({}, {}, {}) blocks of ({}, {}, {}) threads", launch.name,
                            launch.grid.x, launch.grid.y, launch.grid.z, launch.block.x, launch.block.y,
                            launch.block.z));
  current_launch = &launch;
  current_block = block.get();
  block->forget_storage();
  gridDim = launch.grid;
  blockDim = launch.block;
  std::mt19937_64 random(schedule().seed);
  std::vector<uint64_t> order(schedule().order == Order::random ? blocks : 0);
  std::iota(order.begin(), order.end(), uint64_t{0});
  std::shuffle(order.begin(), order.end(), random);
  try {
    for (uint64_t i = 0; i < blocks; ++i) {
      uint64_t at = i;
      if (schedule().order == Order::reverse) at = blocks - 1 - i;
      if (schedule().order == Order::random) at = order[i];
      const dim3 index{static_cast<unsigned>(at % launch.grid.x),
                       static_cast<unsigned>(at / launch.grid.x % launch.grid.y),
                       static_cast<unsigned>(at / launch.grid.x / launch.grid.y)};
      block->run(launch, index, thread, random);
    }
  } catch (...) {
    // Its threads are stuck where they were, in frames that nothing may be unwound from: they are kept as they are.
    static std::vector<std::unique_ptr<Block>>& stuck = *new std::vector<std::unique_ptr<Block>>;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    stuck.push_back(std::exchange(block, std::make_unique<Block>()));
    current_block = nullptr;
    current_launch = nullptr;
    throw;
  }
  current_block = nullptr;
  current_launch = nullptr;
  if (checking) check_memory(launch.name);
}

void* shared_storage(const void* key, size_t bytes) { return current_block->shared(key, bytes); }
void* dynamic_storage() { return current_block->dynamic(); }
uint64_t meet(const Meeting& meeting) { return current_block->meet(meeting); }

}  // namespace cytograd::emulator

#ifdef __SANITIZE_ADDRESS__
/// Where AddressSanitizer's report comes from a kernel, which one.
extern "C" void __asan_on_error() {
  if (cytograd::emulator::current_launch != nullptr)
    fmt::print(stderr, "in {}\n", cytograd::emulator::place());
}
#endif
