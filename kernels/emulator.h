// CUDA's execution model on a CPU: a kernel that compiles here runs as it would on a GPU, one block after another, each
// thread a fiber that runs until its next barrier. What a GPU does by chance happens here on purpose:
// - a thread runs as far ahead of the others as barriers let it, in forward, reverse or a random order: a missing
//   barrier changes the result in one of them;
// - fresh memory, global and shared, holds NaN of a kind of its own, which results computed from it keep;
// - a barrier or warp operation that not all its threads reach, and a shuffle from a lane that does not take part,
//   stop the launch with kernel, block and thread; so does more shared memory than a block has.
//
// Includes no header of the project; errors are std::runtime_error. Used through kernels/device.cuh.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): CUDA's names.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

inline thread_local dim3 threadIdx;
inline thread_local dim3 blockIdx;
inline thread_local dim3 blockDim;
inline thread_local dim3 gridDim;

namespace cytograd::emulator {

/// Thrown by a launch: the kernel did what a GPU would not survive, or would only by luck.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Order : uint8_t { forward, reverse, random };

/// The order in which a block's threads, and the blocks, run. Of this host thread. The start value comes from the
/// environment: CYTOGRAD_EMULATOR=forward, reverse or random.
struct Schedule {
  Order order = Order::forward;
  uint64_t seed = 0;  ///< of random
};
void set_schedule(const Schedule& schedule);
Schedule schedule();

/// Whether each launch is followed by a search of all device memory for values computed from memory that nothing
/// wrote, and for writes past the end of an allocation. Off at the start.
void set_checking(bool on);

struct Launch {
  const char* name = "";
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  ///< dynamic
};
/// Runs `thread` once for each thread of each block. Throws Fault.
void run(const Launch& launch, const std::function<void()>& thread);

/// The running block's storage for `key`, the same for all its threads.
void* shared_storage(const void* key, size_t bytes);
void* dynamic_storage();

enum class Collective : uint8_t { block_barrier, warp_barrier, shuffle, vote };
/// Suspends the thread until all of `mask` in its warp (or all of its block) are there.
struct Meeting {
  Collective kind;
  const char* file;
  int line;
  uint32_t mask = 0;
  uint64_t value = 0;  ///< what this thread brings
  int source = 0;      ///< shuffle: the lane it wants to read
};
/// The value of lane `source` (shuffle), or the mask of lanes whose value is not 0 (vote, block barrier: count).
uint64_t meet(const Meeting& meeting);

template <typename T>
T shuffle(uint32_t mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= 8);
  Meeting meeting{Collective::shuffle, file, line, mask, 0, source};
  std::memcpy(&meeting.value, &value, sizeof(T));
  const uint64_t bits = meet(meeting);
  T result;
  std::memcpy(&result, &bits, sizeof(T));
  return result;
}

inline int lane() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32u);
}

}  // namespace cytograd::emulator

#define CYTOGRAD_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CYTOGRAD_SITE) {
  cytograd::emulator::meet({cytograd::emulator::Collective::block_barrier, file, line});
}
inline int __syncthreads_count(int predicate, CYTOGRAD_SITE) {
  return static_cast<int>(cytograd::emulator::meet(
      {cytograd::emulator::Collective::block_barrier, file, line, 0, predicate != 0 ? 1u : 0u}));
}
inline int __syncthreads_or(int predicate, CYTOGRAD_SITE) {
  return __syncthreads_count(predicate, file, line) != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CYTOGRAD_SITE) {
  cytograd::emulator::meet({cytograd::emulator::Collective::warp_barrier, file, line, mask});
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, CYTOGRAD_SITE) {
  return cytograd::emulator::shuffle(mask, value, source, file, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, CYTOGRAD_SITE) {
  return cytograd::emulator::shuffle(mask, value, cytograd::emulator::lane() ^ lanes, file, line);
}
/// As on a GPU, the last lanes get their own value back.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, CYTOGRAD_SITE) {
  const int lane = cytograd::emulator::lane();
  const int source = lane + static_cast<int>(delta);
  return cytograd::emulator::shuffle(mask, value, source < 32 ? source : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CYTOGRAD_SITE) {
  return static_cast<unsigned>(cytograd::emulator::meet(
      {cytograd::emulator::Collective::vote, file, line, mask, predicate != 0 ? 1u : 0u}));
}
inline int __any_sync(unsigned mask, int predicate, CYTOGRAD_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
#undef CYTOGRAD_SITE

// Blocks and threads take turns, so that plain operations are atomic.
template <typename T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = static_cast<T>(old + value);
  return old;
}

inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
/// Byte i of the result is the one of b:a that the i-th hexadecimal digit of `selector` names, from 0 to 7.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i)
    result |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7u)) & 0xffu) << (8 * i);
  return result;
}
/// a * b + c, rounded once, towards 0.
inline float __fmaf_rz(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);  // exactly
  const double other = c, sum = product + other;
  const double added = sum - product;
  const double error = (product - (sum - added)) + (other - added);  // product + other - sum, exactly
  const auto nearest = static_cast<float>(sum);
  const double beyond = (static_cast<double>(nearest) - sum) - error;
  return nearest > 0.0f ? (beyond > 0.0 ? std::nextafter(nearest, 0.0f) : nearest)
                        : (beyond < 0.0 ? std::nextafter(nearest, 0.0f) : nearest);
}
inline float __saturatef(float v) { return v > 0.0f ? std::min(v, 1.0f) : 0.0f; }  // a NaN is 0
inline float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += ((a >> i) & 0xffu) * ((b >> i) & 0xffu);
  return c;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
