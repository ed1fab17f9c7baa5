// Streams on the host. Work is done at once, or, on streams that are late, only when something waits for it, which
// shows where nothing does: a host that reads what is still on its way, or writes over what was not read yet, meets the
// worst that a GPU could do. Errors of late work come from whoever waits for it; of a stream or memory that goes
// before, they end the process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/runtime.h"

namespace cytograd::emulator {

/// By the order in which streams are made, so that of two that work together one can be ahead of the other.
enum class Late : uint8_t { none, all, even, odd };
/// Which streams are late; the default stream (null) never is. What is queued is done first. At the start
/// the environment says it: CYTOGRAD_LATE_STREAMS=none, all, even or odd.
void set_late(Late late);

device::Stream create_stream();
/// Does its work first.
void destroy_stream(device::Stream stream);
bool is_late(device::Stream stream);

/// Does `work` in the order of the stream, or keeps it while this host thread captures the stream.
void queue(device::Stream stream, std::function<void()> work);
/// Does what is queued. Throws what the work throws, and std::runtime_error while the stream is captured.
void finish(device::Stream stream);
void finish_all();

void begin_capture(device::Stream stream);
std::vector<std::function<void()>> end_capture();
/// Whether this host thread captures a stream.
bool capturing();

/// A point in a stream's work.
struct Point {
  device::Stream stream;
  bool passed = false;
  double seconds = 0.0;  ///< when it was, from an arbitrary start
};
/// Throws std::runtime_error while the stream is captured.
std::shared_ptr<const Point> mark(device::Stream stream);
/// Work up to the point.
void reach(const Point& point);
/// As a host that asks again and again lets time pass: does one piece of work, if the point is not passed.
bool has_passed(const Point& point);

}  // namespace cytograd::emulator
