// The device as the engine sees it: memory, streams, events, graphs. runtime_cuda.cpp is a GPU, runtime_emulated.cpp
// the host's memory and threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <string>

// CUDA's own handle types, named without its headers.
struct CUstream_st;
struct CUevent_st;

namespace cytograd::device {

using Stream = CUstream_st*;

struct Info {
  std::string name;
  int major = 0;  ///< compute capability
  int minor = 0;
  int multiprocessors = 0;
  size_t shared_bytes = 0;  ///< of each multiprocessor, for its blocks
  size_t memory_bytes = 0;
  size_t l2_bytes = 0;   ///< of the cache that all multiprocessors share
  std::string software;  ///< driver and runtime versions
  bool emulated = false;
};

/// "" where there is a device to compute on, else what is missing.
std::string why_unavailable();
/// Of the device in use. Throws std::runtime_error where there is none.
const Info& info();

/// Device memory, aligned to 256 bytes. Throws std::runtime_error on exhaustion.
std::pmr::memory_resource& device_memory();
/// Host memory that the device copies from and to while the host goes on.
std::pmr::memory_resource& pinned_memory();

enum class PoolOf : uint8_t { all_work, captured_work };
/// A pool's buffer changes hands: from now on, in the stream's order, `bytes` of `reserved` are in use; of a pool of
/// captured work at each launch anew. The emulator fills and guards them.
void taken(void* memory, size_t bytes, size_t reserved, Stream stream, PoolOf pool);
void given_back(void* memory, size_t reserved, Stream stream, PoolOf pool);

/// Between any two of host, pinned and device memory; queued where both are pinned or on the device.
void copy(void* destination, const void* source, size_t bytes, Stream stream);
/// From the host to device memory that no work uses yet; done on return, and never part of captured work.
void copy_beside(void* destination, const void* source, size_t bytes);
/// Waits for all work of the stream. Throws std::runtime_error for whatever went wrong on the device.
void synchronize(Stream stream);

/// A queue of work, apart from the legacy default stream.
class StreamHandle {
 public:
  StreamHandle();
  Stream get() const { return stream_.get(); }

 private:
  struct Destroy {
    void operator()(CUstream_st* stream) const;
  };
  std::unique_ptr<CUstream_st, Destroy> stream_;
};

/// A point in a stream's work.
class Event {
 public:
  /// Without timing an event is cheaper.
  explicit Event(bool timing = false);

  void record(Stream stream);
  /// Work queued on `stream` after this waits for the event.
  void hold(Stream stream) const;
  void wait() const;
  /// Whether all work before it is done. Does not wait.
  bool passed() const;
  /// From `start` to this, both made with timing and waited for.
  double milliseconds_since(const Event& start) const;

 private:
  struct Destroy {
    void operator()(CUevent_st* event) const;
  };
  std::unique_ptr<CUevent_st, Destroy> event_;
};

/// Work that is queued once and launched many times, at the cost of one launch. `work` queues on the stream and does
/// not wait for it; it uses the same memory each time.
class Graph {
 public:
  Graph(Stream stream, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(Stream stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

void begin_range(const char* name);
void end_range();

/// Names a range of work for a profiler (NVTX), from construction to destruction.
class Range {
 public:
  explicit Range(const char* name) { begin_range(name); }
  ~Range() { end_range(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace cytograd::device
