#include "kernels/emulated_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "kernels/emulator.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cytograd::emulator {
namespace {

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

}  // namespace

void poison_shared(void* memory, size_t bytes) { poison(memory, bytes, kSharedKind); }

void check_memory(const char* kernel) {
  const std::lock_guard lock(memory_mutex);
  for (const auto& [memory, allocation] : allocations()) check_allocation(kernel, memory, allocation);
}

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
