// A caching pool of buffers: what a training step frees, the next step takes again without a system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory_resource>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace cytograd {

struct PoolStatistics {
  size_t bytes_in_use = 0;         ///< as asked for, rounded up
  size_t peak_bytes_in_use = 0;    ///< since the start or reset_peak()
  size_t bytes_reserved = 0;       ///< of all buffers, in use and cached, as asked of the upstream resource
  int64_t system_allocations = 0;  ///< calls of the upstream resource so far
};

/// Thread-safe. Sizes are rounded up to one of eight steps a power of two (which wastes at most 12.5%). A freed buffer
/// serves the next request of its size class, or, where that has none, of a class down to half of it: batches of many
/// sizes share what the largest takes. Where there is no memory for a new one, any that is large enough does.
class BufferPool {
 public:
  static constexpr size_t kAlignment = 64;

  /// Called when a buffer of `reserved` bytes goes out for `bytes` of them, and when it comes back.
  struct Hooks {
    std::function<void(void* buffer, size_t bytes, size_t reserved)> taken;
    std::function<void(void* buffer, size_t reserved)> given_back;
  };

  explicit BufferPool(std::pmr::memory_resource& upstream) : BufferPool(upstream, Hooks{}) {}
  BufferPool(std::pmr::memory_resource& upstream, const Hooks& hooks) : upstream_(upstream), hooks_(hooks) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// At least `bytes`, aligned to kAlignment. Where the upstream resource is exhausted, it first gets back what the
  /// spare pool caches; then any cached buffer that is large enough will do. Throws what the upstream resource throws.
  void* allocate(size_t bytes);
  /// `bytes` as given to allocate.
  void deallocate(void* pointer, size_t bytes) noexcept;

  /// Gives every cached buffer back to the upstream resource.
  void trim() noexcept;
  /// At first the pool itself; null: none. Another one has the same upstream resource, and outlives this.
  void set_spare(BufferPool* pool);
  PoolStatistics statistics() const;
  void reset_peak();

 private:
  struct Buffer {
    void* pointer = nullptr;
    size_t size = 0;
  };
  static size_t size_class(size_t bytes);
  Buffer take(size_t size);
  Buffer take_cached(size_t least, size_t most);
  Buffer take_new(size_t size);
  void give_cached_back() noexcept;

  std::pmr::memory_resource& upstream_;
  Hooks hooks_;
  BufferPool* spare_ = this;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by size
  std::unordered_map<void*, size_t> live_;     // what is given out, and its size
  PoolStatistics statistics_;
};

/// Host memory, from 2 MiB on in whole pages of as many (fewer faults and misses), which may be up to one more than was
/// asked for. Throws Error on exhaustion.
std::pmr::memory_resource& host_memory();

}  // namespace cytograd
