// The runtime on the host: every stream's work is done when the call returns.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "kernels/emulator.h"
#include "kernels/runtime.h"

namespace cytograd::device {
namespace {

class EmulatedMemory final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (memory == nullptr)
      throw std::runtime_error(fmt::format("out of memory: {} MiB more are needed", bytes >> 20));
    return memory;
  }
  void do_deallocate(void* memory, size_t bytes, size_t) override {
    emulator::forget(memory, bytes);
    std::free(memory);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

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
  static EmulatedMemory memory;
  return memory;
}

std::pmr::memory_resource& pinned_memory() { return *std::pmr::new_delete_resource(); }

void taken(void* memory, size_t bytes, size_t reserved) { emulator::taken(memory, bytes, reserved); }
void given_back(void* memory, size_t reserved) { emulator::given_back(memory, reserved); }
void taken_in_graph(void* memory, size_t bytes, size_t reserved) {
  emulator::queue([=] { emulator::taken(memory, bytes, reserved); });
}
void given_back_in_graph(void* memory, size_t reserved) {
  emulator::queue([=] { emulator::given_back(memory, reserved); });
}

void copy(void* destination, const void* source, size_t bytes, Stream) {
  if (bytes == 0) return;
  emulator::queue([=] {
    std::memcpy(destination, source, bytes);
    emulator::copied(destination, source, bytes);
  });
}
void copy_beside(void* destination, const void* source, size_t bytes) {
  std::memcpy(destination, source, bytes);
  emulator::copied(destination, source, bytes);
}
void synchronize(Stream) {
  if (emulator::recording())
    throw std::runtime_error("the host waits for a stream whose work is being captured");
}

StreamHandle::StreamHandle() = default;
void StreamHandle::Destroy::operator()(CUstream_st*) const {}

struct Graph::State {
  std::vector<std::function<void()>> work;
};

Graph::Graph(Stream, const std::function<void()>& work) : state_(std::make_unique<State>()) {
  emulator::begin_recording();
  try {
    work();
  } catch (...) {
    emulator::end_recording();
    throw;
  }
  state_->work = emulator::end_recording();
}
Graph::~Graph() = default;
void Graph::launch(Stream) const {
  for (const auto& step : state_->work) step();
}

Event::Event(bool) {}
void Event::Destroy::operator()(CUevent_st*) const {}
void Event::record(Stream) {
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
void Event::hold(Stream) const {}
void Event::wait() const {}
bool Event::passed() const { return true; }
double Event::milliseconds_since(const Event& start) const { return (seconds_ - start.seconds_) * 1e3; }

void begin_range(const char*) {}
void end_range() {}

}  // namespace cytograd::device
