#include "kernels/emulator.h"

#include <fmt/format.h>

#include <array>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cytograd::emulator {
namespace {

constexpr size_t kStackBytes = size_t{128} << 10;
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

// ---- fibers

#ifdef __SANITIZE_ADDRESS__
/// AddressSanitizer has to be told which stack it is on.
class StackSwitch {
 public:
  void leave(const void* bottom, size_t size) { __sanitizer_start_switch_fiber(&fake_, bottom, size); }
  void arrive(const void** from, size_t* size) { __sanitizer_finish_switch_fiber(fake_, from, size); }

 private:
  void* fake_ = nullptr;
};
#else
class StackSwitch {
 public:
  void leave(const void*, size_t) {}
  void arrive(const void**, size_t*) {}
};
#endif

/// A stack that runs one function after another, each of which may suspend itself.
class Fiber {
 public:
  Fiber() {
    boost::context::protected_fixedsize_stack allocator(kStackBytes);
    fiber_ = boost::context::fiber(std::allocator_arg, KeepBounds{allocator, this},
                                   [this](boost::context::fiber&& host) { return live(std::move(host)); });
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// Unwinds what is suspended.
  ~Fiber() {
    outside_.leave(stack_bottom_, stack_size_);
    fiber_ = {};
    outside_.arrive(nullptr, nullptr);
  }

  void start(const std::function<void()>& work) {
    work_ = work;
    finished_ = false;
  }
  /// Runs until the work ends or suspends; rethrows what it threw.
  void resume() {
    outside_.leave(stack_bottom_, stack_size_);
    fiber_ = std::move(fiber_).resume();
    outside_.arrive(nullptr, nullptr);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }
  /// Within the work: back to resume().
  void suspend() {
    inside_.leave(host_stack_, host_stack_size_);
    try {
      host_ = std::move(host_).resume();
    } catch (const boost::context::detail::forced_unwind&) {
      inside_.arrive(&host_stack_, &host_stack_size_);
      throw;
    }
    inside_.arrive(&host_stack_, &host_stack_size_);
  }
  bool finished() const { return finished_; }

 private:
  struct KeepBounds {
    boost::context::protected_fixedsize_stack stack;
    Fiber* owner;
    boost::context::stack_context allocate() {
      const auto context = stack.allocate();
      owner->stack_size_ = context.size;  // kStackBytes and the page that guards them
      owner->stack_bottom_ = static_cast<char*>(context.sp) - context.size;
      return context;
    }
    void deallocate(boost::context::stack_context& context) noexcept { stack.deallocate(context); }
  };

  /// The fiber's own function: work after work, until the destructor unwinds it.
  boost::context::fiber live(boost::context::fiber&& host) {
    host_ = std::move(host);
    inside_.arrive(&host_stack_, &host_stack_size_);
    try {
      for (;;) {
        try {
          work_();
        } catch (const boost::context::detail::forced_unwind&) {
          throw;
        } catch (...) {
          failure_ = std::current_exception();
        }
        finished_ = true;
        suspend();
      }
    } catch (const boost::context::detail::forced_unwind&) {
      inside_.leave(host_stack_, host_stack_size_);
      throw;
    }
  }

  std::function<void()> work_;
  std::exception_ptr failure_;
  bool finished_ = true;
  const void* stack_bottom_ = nullptr;
  size_t stack_size_ = 0;
  const void* host_stack_ = nullptr;
  size_t host_stack_size_ = 0;
  StackSwitch inside_;
  StackSwitch outside_;
  boost::context::fiber host_;
  boost::context::fiber fiber_;
};

// ---- memory

/// NaN as f32, bf16 and f16 alike, of one of 16 kinds. Arithmetic keeps a NaN's bits, so that what was computed from
/// fresh memory shows as a NaN of another allocation's kind. Kind 15 is shared memory's.
constexpr uint32_t kPoison = 0x7ff07ff0u;
constexpr uint32_t kPoisonKinds = 15;
constexpr uint32_t kSharedKind = 15;

uint32_t poison_word(uint32_t kind) { return kPoison | kind | kind << 16; }

void poison(void* memory, size_t bytes, uint32_t kind) {
  const uint32_t word = poison_word(kind);
  auto* out = static_cast<std::byte*>(memory);
  for (size_t i = 0; i < bytes; i += sizeof(word))
    std::memcpy(out + i, &word, std::min(sizeof(word), bytes - i));
}

/// -1: not a poisoned word.
int poison_kind(uint32_t word) {
  if ((word & 0xfff0fff0u) != kPoison || (word & 0xfu) != ((word >> 16) & 0xfu)) return -1;
  return static_cast<int>(word & 0xfu);
}

constexpr uint8_t kGuard = 0xa5;

struct Allocation {
  size_t bytes;
  size_t reserved;
  uint32_t kind;
  std::set<size_t> alike = {};  // places of the host's words that look like another kind
};

std::mutex memory_mutex;
std::map<void*, Allocation>& allocations() {
  static std::map<void*, Allocation> map;
  return map;
}

/// The allocation that memory is of, or the end.
auto allocation_of(const void* memory) {
  auto after = allocations().upper_bound(const_cast<void*>(memory));
  if (after == allocations().begin()) return allocations().end();
  --after;
  const auto* const start = static_cast<const std::byte*>(after->first);
  return static_cast<const std::byte*>(memory) < start + after->second.reserved ? after : allocations().end();
}

/// Of the NaN of another allocation that the word at `at` is; -1: of none.
int foreign_kind(const void* memory, size_t at, const Allocation& allocation) {
  uint32_t word;
  std::memcpy(&word, static_cast<const std::byte*>(memory) + at, sizeof(word));
  const int kind = poison_kind(word);
  return kind == static_cast<int>(allocation.kind) ? -1 : kind;
}

void check_allocation(const char* kernel, const void* memory, const Allocation& allocation) {
#ifndef __SANITIZE_ADDRESS__
  const auto* bytes = static_cast<const uint8_t*>(memory);
  for (size_t i = allocation.bytes; i < allocation.reserved; ++i) {
    if (bytes[i] != kGuard)
      throw Fault(fmt::format("kernel {} wrote {} bytes past the end of an allocation of {} bytes", kernel,
                              i - allocation.bytes, allocation.bytes));
  }
#endif
  for (size_t i = 0; i + 4 <= allocation.bytes; i += 4) {
    const int kind = foreign_kind(memory, i, allocation);
    if (kind < 0 || allocation.alike.contains(i)) continue;
    throw Fault(fmt::format(
        "kernel {} computed from {} memory that nothing had written; byte {} of an allocation of {} "
        "shows it",
        kernel, kind == static_cast<int>(kSharedKind) ? "shared" : "device", i, allocation.bytes));
  }
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
      poison(storage.data(), bytes, kSharedKind);
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
    for (auto& [key, storage] : shared_) poison(storage.data(), storage.size(), kSharedKind);
    if (dynamic_.size() != launch.shared_bytes) {
      dynamic_.resize(launch.shared_bytes);
      check_shared_bytes();
    }
    poison(dynamic_.data(), dynamic_.size(), kSharedKind);
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

void check_memory(const Launch& launch) {
  const std::lock_guard lock(memory_mutex);
  for (const auto& [memory, allocation] : allocations()) check_allocation(launch.name, memory, allocation);
}

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
  if (checking) check_memory(launch);
}

void* shared_storage(const void* key, size_t bytes) { return current_block->shared(key, bytes); }
void* dynamic_storage() { return current_block->dynamic(); }
uint64_t meet(const Meeting& meeting) { return current_block->meet(meeting); }

void taken(void* memory, size_t bytes, size_t reserved) {
  static uint32_t next = 0;
  const std::lock_guard lock(memory_mutex);
  const uint32_t kind = next++ % kPoisonKinds;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(memory, reserved);
#endif
  poison(memory, bytes, kind);
  std::memset(static_cast<std::byte*>(memory) + bytes, kGuard, reserved - bytes);
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(memory) + bytes, reserved - bytes);
#endif
  allocations()[memory] = {bytes, reserved, kind};
}

void given_back(void* memory, size_t reserved) {
  const std::lock_guard lock(memory_mutex);
  allocations().erase(memory);
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(memory, reserved);
#else
  (void)reserved;
#endif
}

void copied(const void* memory, const void* source, size_t bytes) {
  const std::lock_guard lock(memory_mutex);
  const auto to = allocation_of(memory);
  if (to == allocations().end() || allocation_of(source) != allocations().end()) return;
  auto& [start, allocation] = *to;
  const auto first =
      static_cast<size_t>(static_cast<const std::byte*>(memory) - static_cast<std::byte*>(start));
  const size_t end = std::min(first + bytes + 3, allocation.bytes);
  for (size_t i = first / 4 * 4; i + 4 <= end; i += 4) {
    if (foreign_kind(start, i, allocation) >= 0) {
      allocation.alike.insert(i);
    } else {
      allocation.alike.erase(i);
    }
  }
}

void forget(void* memory, size_t reserved) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(memory, reserved);
#else
  (void)memory;
  (void)reserved;
#endif
}

}  // namespace cytograd::emulator

#ifdef __SANITIZE_ADDRESS__
/// Where AddressSanitizer's report comes from a kernel, which one.
extern "C" void __asan_on_error() {
  if (cytograd::emulator::current_launch != nullptr)
    fmt::print(stderr, "in {}\n", cytograd::emulator::place());
}
#endif
