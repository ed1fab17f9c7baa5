#include "engine/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

#include "engine/check.h"

namespace cytograd {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

class HostMemory final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t alignment) override {
    const size_t unit = bytes >= kHugePage ? kHugePage : alignment;
    const size_t size = (bytes + unit - 1) / unit * unit;
    void* pointer = std::aligned_alloc(unit, size);
    if (pointer == nullptr) fail("out of memory: {} MiB more are needed", size >> 20);
    if (unit == kHugePage)
      madvise(pointer, size, MADV_HUGEPAGE);  // advice only: failure costs speed, not truth
    return pointer;
  }
  void do_deallocate(void* pointer, size_t, size_t) override { std::free(pointer); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

std::pmr::memory_resource& host_memory() {
  static HostMemory memory;
  return memory;
}

BufferPool::~BufferPool() { trim(); }

size_t BufferPool::size_class(size_t bytes) {
  const size_t size = std::max<size_t>(bytes, 512);
  const size_t step = std::bit_floor(size) / 8;
  return (size + step - 1) / step * step;
}

void* BufferPool::allocate(size_t bytes) {
  const size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  const Buffer buffer = take(size);
  live_[buffer.pointer] = buffer.size;
  statistics_.bytes_in_use += size;
  statistics_.peak_bytes_in_use = std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
  if (hooks_.taken) hooks_.taken(buffer.pointer, bytes, buffer.size);
  return buffer.pointer;
}

void BufferPool::deallocate(void* pointer, size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const auto live = live_.find(pointer);
  const size_t size = live->second;
  live_.erase(live);
  if (hooks_.given_back) hooks_.given_back(pointer, size);
  free_[size].push_back(pointer);
  statistics_.bytes_in_use -= size_class(bytes);
}

BufferPool::Buffer BufferPool::take(size_t size) {
  if (const Buffer cached = take_cached(size, 2 * size); cached.pointer != nullptr) return cached;
  try {
    return take_new(size);
  } catch (...) {
    if (spare_ == this) {
      give_cached_back();
    } else if (spare_ != nullptr) {
      spare_->trim();
    }
  }
  try {
    return take_new(size);
  } catch (...) {
    const Buffer cached = take_cached(size, SIZE_MAX);
    if (cached.pointer == nullptr) throw;
    return cached;
  }
}

/// The smallest, if there is one.
BufferPool::Buffer BufferPool::take_cached(size_t least, size_t most) {
  for (auto at = free_.lower_bound(least); at != free_.end() && at->first <= most; ++at) {
    auto& [size, cached] = *at;
    if (cached.empty()) continue;
    const Buffer buffer{cached.back(), size};
    cached.pop_back();
    return buffer;
  }
  return {};
}

BufferPool::Buffer BufferPool::take_new(size_t size) {
  void* const pointer = upstream_.allocate(size, kAlignment);
  statistics_.bytes_reserved += size;
  ++statistics_.system_allocations;
  return {pointer, size};
}

void BufferPool::give_cached_back() noexcept {
  for (auto& [size, cached] : free_) {
    for (void* pointer : cached) upstream_.deallocate(pointer, size, kAlignment);
    statistics_.bytes_reserved -= size * cached.size();
    cached.clear();
  }
}

void BufferPool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  give_cached_back();
}

void BufferPool::set_spare(BufferPool* pool) {
  const std::lock_guard lock(mutex_);
  spare_ = pool;
}

PoolStatistics BufferPool::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void BufferPool::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak_bytes_in_use = statistics_.bytes_in_use;
}

}  // namespace cytograd
