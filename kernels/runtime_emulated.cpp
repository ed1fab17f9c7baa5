// The runtime on the host.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "kernels/emulated_memory.h"
#include "kernels/emulated_streams.h"
#include "kernels/runtime.h"

struct CUevent_st {
  std::shared_ptr<const cytograd::emulator::Point> point;  // null: not recorded yet
};

namespace cytograd::device {
namespace {

/// The memory that a device copies from and to while the host goes on: its own, and what is pinned.
class CopyableMemory {
 public:
  void insert(const void* memory, size_t bytes) {
    const std::lock_guard lock(mutex_);
    bytes_of_[static_cast<const std::byte*>(memory)] = bytes;
  }
  void erase(const void* memory) {
    const std::lock_guard lock(mutex_);
    bytes_of_.erase(static_cast<const std::byte*>(memory));
  }
  bool contains(const void* memory) {
    const auto* at = static_cast<const std::byte*>(memory);
    const std::lock_guard lock(mutex_);
    const auto after = bytes_of_.upper_bound(at);
    return after != bytes_of_.begin() && at < std::prev(after)->first + std::prev(after)->second;
  }

 private:
  std::mutex mutex_;
  std::map<const std::byte*, size_t> bytes_of_;
};
CopyableMemory& copyable() {
  static CopyableMemory& memory = *new CopyableMemory;  // outlives all that is static
  return memory;
}

class PinnedMemory : public std::pmr::memory_resource {
 protected:
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (memory == nullptr)
      throw std::runtime_error(fmt::format("out of memory: {} MiB more are needed", bytes >> 20));
    copyable().insert(memory, bytes);
    return memory;
  }
  void do_deallocate(void* memory, size_t, size_t) override {
    copyable().erase(memory);
    std::free(memory);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

class DeviceMemory final : public PinnedMemory {
  void do_deallocate(void* memory, size_t bytes, size_t alignment) override {
    emulator::finish_all();  // as cudaFree does
    emulator::forget(memory, bytes);
    PinnedMemory::do_deallocate(memory, bytes, alignment);
  }
};

/// In the stream's order; but what captured work does not own changes hands beside the capture.
template <typename Work>
void change_hands(Stream stream, PoolOf pool, const Work& work) {
  if (emulator::capturing() && pool == PoolOf::all_work) {
    work();
  } else {
    emulator::queue(stream, work);
  }
}

}  // namespace

std::string why_unavailable() { return ""; }

const Info& info() {
  // Few multiprocessors: large arrays then take the kernels' strided loops.
  static const Info info{.name = "emulated GPU (a CPU runs the CUDA kernels; for tests, slow)",
                         .multiprocessors = 2,
                         .shared_bytes = 228 << 10,
                         .software = "emulator",
                         .emulated = true};
  return info;
}

std::pmr::memory_resource& device_memory() {
  static DeviceMemory memory;
  return memory;
}
std::pmr::memory_resource& pinned_memory() {
  static PinnedMemory memory;
  return memory;
}

void taken(void* memory, size_t bytes, size_t reserved, Stream stream, PoolOf pool) {
  change_hands(stream, pool, [=] { emulator::taken(memory, bytes, reserved); });
}
void given_back(void* memory, size_t reserved, Stream stream, PoolOf pool) {
  change_hands(stream, pool, [=] { emulator::given_back(memory, reserved); });
}

void copy(void* destination, const void* source, size_t bytes, Stream stream) {
  if (bytes == 0) return;
  const auto move = [=](const void* from) {
    std::memcpy(destination, from, bytes);
    emulator::copied(destination, from, bytes);
  };
  if (emulator::capturing() || !emulator::is_late(stream) || copyable().contains(source)) {
    emulator::queue(stream, [=] { move(source); });
  } else {
    // As a driver does: what it read from the host's memory is the host's again on return.
    const auto* first = static_cast<const std::byte*>(source);
    const auto staged = std::make_shared<const std::vector<std::byte>>(first, first + bytes);
    emulator::queue(stream, [=] { move(staged->data()); });
  }
  if (!emulator::capturing() && !copyable().contains(destination)) emulator::finish(stream);
}
void copy_beside(void* destination, const void* source, size_t bytes) {
  std::memcpy(destination, source, bytes);
  emulator::copied(destination, source, bytes);
}
void synchronize(Stream stream) { emulator::finish(stream); }

StreamHandle::StreamHandle() : stream_(emulator::create_stream()) {}
void StreamHandle::Destroy::operator()(CUstream_st* stream) const { emulator::destroy_stream(stream); }

struct Graph::State {
  std::vector<std::function<void()>> work;
};

Graph::Graph(Stream stream, const std::function<void()>& work) : state_(std::make_unique<State>()) {
  emulator::begin_capture(stream);
  try {
    work();
  } catch (...) {
    (void)emulator::end_capture();
    throw;
  }
  state_->work = emulator::end_capture();
}
Graph::~Graph() = default;
void Graph::launch(Stream stream) const {
  for (const auto& step : state_->work) emulator::queue(stream, step);
}

Event::Event(bool) : event_(new CUevent_st) {}
void Event::Destroy::operator()(CUevent_st* event) const { delete event; }
void Event::record(Stream stream) { event_->point = emulator::mark(stream); }
void Event::hold(Stream stream) const {
  if (event_->point != nullptr) emulator::queue(stream, [point = event_->point] { emulator::reach(*point); });
}
void Event::wait() const {
  if (event_->point != nullptr) emulator::reach(*event_->point);
}
bool Event::passed() const { return event_->point == nullptr || emulator::has_passed(*event_->point); }
double Event::milliseconds_since(const Event& start) const {
  for (const Event* event : {this, &start}) {
    if (event->event_->point == nullptr || !event->event_->point->passed)
      throw std::runtime_error("an event that has not passed has no time");
  }
  return (event_->point->seconds - start.event_->point->seconds) * 1e3;
}

void begin_range(const char*) {}
void end_range() {}

}  // namespace cytograd::device
