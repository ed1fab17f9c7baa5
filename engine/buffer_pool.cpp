#include "engine/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
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
  auto& cached = free_[size];
  void* pointer = nullptr;
  if (!cached.empty()) {
    pointer = cached.back();
    cached.pop_back();
  } else {
    pointer = upstream_.allocate(size, kAlignment);
    statistics_.bytes_reserved += size;
    ++statistics_.system_allocations;
  }
  statistics_.bytes_in_use += size;
  statistics_.peak_bytes_in_use = std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
  if (hooks_.taken != nullptr) hooks_.taken(pointer, bytes, size);
  return pointer;
}

void BufferPool::deallocate(void* pointer, size_t bytes) noexcept {
  const size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  if (hooks_.given_back != nullptr) hooks_.given_back(pointer, size);
  free_[size].push_back(pointer);
  statistics_.bytes_in_use -= size;
}

void BufferPool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& [size, cached] : free_) {
    for (void* pointer : cached) upstream_.deallocate(pointer, size, kAlignment);
    statistics_.bytes_reserved -= size * cached.size();
    cached.clear();
  }
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
