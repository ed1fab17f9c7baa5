#include "kernels/emulated_streams.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

struct CUstream_st {
  uint64_t number;
  std::deque<std::function<void()>> work;
};

namespace cytograd::emulator {
namespace {

using device::Stream;

Late late_from_environment() {
  const char* text = std::getenv("CYTOGRAD_LATE_STREAMS");
  const std::string_view name = text == nullptr ? "none" : text;
  if (name == "none") return Late::none;
  if (name == "all") return Late::all;
  if (name == "even") return Late::even;
  if (name == "odd") return Late::odd;
  throw std::runtime_error(fmt::format("CYTOGRAD_LATE_STREAMS={}: expected none, all, even or odd", name));
}

struct Streams {
  std::recursive_mutex mutex;  // held while work is done: that may do other streams' work
  std::set<Stream> all;
  uint64_t made = 0;
  Late late = late_from_environment();
};
Streams& streams() {
  static Streams& streams = *new Streams;  // outlives all that is static
  return streams;
}

thread_local bool is_capturing = false;
thread_local Stream captured_stream = nullptr;
thread_local std::vector<std::function<void()>> captured;

bool captures(Stream stream) { return is_capturing && captured_stream == stream; }

void do_next(Stream stream) {
  const std::function<void()> work = std::move(stream->work.front());
  stream->work.pop_front();
  work();
}

void do_all(Stream stream) {
  while (!stream->work.empty()) do_next(stream);
}

}  // namespace

Stream create_stream() {
  const std::lock_guard lock(streams().mutex);
  const auto stream = new CUstream_st{streams().made++, {}};
  streams().all.insert(stream);
  return stream;
}

void destroy_stream(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  finish(stream);
  streams().all.erase(stream);
  delete stream;
}

void set_late(Late late) {
  const std::lock_guard lock(streams().mutex);
  finish_all();
  streams().late = late;
}

bool is_late(Stream stream) {
  if (stream == nullptr) return false;
  const Late late = streams().late;
  return late == Late::all || late == (stream->number % 2 == 0 ? Late::even : Late::odd);
}

void queue(Stream stream, std::function<void()> work) {
  if (captures(stream)) {
    captured.push_back(std::move(work));
  } else if (is_late(stream)) {
    const std::lock_guard lock(streams().mutex);
    stream->work.push_back(std::move(work));
  } else {
    work();
  }
}

void finish(Stream stream) {
  if (captures(stream)) throw std::runtime_error("the host waits for a stream whose work is being captured");
  if (stream == nullptr) return;
  const std::lock_guard lock(streams().mutex);
  do_all(stream);
}

void finish_all() {
  const std::lock_guard lock(streams().mutex);
  for (const Stream stream : streams().all) do_all(stream);
}

void begin_capture(Stream stream) {
  captured.clear();
  captured_stream = stream;
  is_capturing = true;
}
std::vector<std::function<void()>> end_capture() {
  is_capturing = false;
  return std::move(captured);
}
bool capturing() { return is_capturing; }

std::shared_ptr<const Point> mark(Stream stream) {
  if (captures(stream)) throw std::runtime_error("the emulator captures no events");
  const auto point = std::make_shared<Point>(Point{.stream = stream});
  queue(stream, [point] {
    point->seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    point->passed = true;
  });
  return point;
}

void reach(const Point& point) {
  const std::lock_guard lock(streams().mutex);
  while (!point.passed) do_next(point.stream);
}

bool has_passed(const Point& point) {
  const std::lock_guard lock(streams().mutex);
  if (!point.passed) do_next(point.stream);
  return point.passed;
}

}  // namespace cytograd::emulator
