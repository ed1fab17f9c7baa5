// What kernels are written in: CUDA under nvcc, the emulator under a plain C++ compiler. Kernels include this header
// and others of kernels/, no more.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/half.h"

#ifdef __CUDACC__
#include "kernels/device_cuda.cuh"
#else
#include "kernels/device_emulated.h"
#endif

#include "kernels/element_type.h"

namespace cytograd {

// From device_cuda.cuh or device_emulated.h:
//   launch(name, kernel, {.grid, .block, .shared_bytes, .stream}, arguments...)
//   block_shared<T>()    the running block's T in shared memory, one for each type; not initialised
//   dynamic_shared<T>()  the launch's `shared_bytes`, aligned to 16
//   store16(p, value)    16 bytes to global memory, by one instruction
//   copy16_async(to, p)  16 bytes from global to shared memory; wait_copies() waits for the thread's
//   in_global(p)         p, known to point to global memory
//   halves_greater<T>(a, b), halves_nan<T>(v)  all bits set in each half of a word, a T, where it holds

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// 16 bytes of T, moved by one instruction.
template <typename T>
struct Pack {
  static constexpr int kCount = 16 / sizeof(T);
  T v[kCount];
};

/// p is aligned to 16 bytes.
template <typename T>
__device__ __forceinline__ Pack<T> load_pack(const T* p) {
  const uint4 raw = *reinterpret_cast<const uint4*>(p);
  Pack<T> pack;
  memcpy(&pack, &raw, sizeof(raw));
  return pack;
}
template <typename T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T>& pack) {
  uint4 raw;
  memcpy(&raw, &pack, sizeof(raw));
  *reinterpret_cast<uint4*>(p) = raw;
}

/// Both by one instruction; p is aligned to two elements.
template <typename T>
__device__ __forceinline__ void store_two(T* p, T first, T second) {
  using Both = std::conditional_t<sizeof(T) == 2, uint32_t, uint2>;
  const T two[] = {first, second};
  Both both;
  static_assert(sizeof(both) == sizeof(two));
  memcpy(&both, two, sizeof(both));
  *reinterpret_cast<Both*>(p) = both;
}

/// Whether an array can be walked in packs: its start is aligned (tensors are; views into them may not be).
inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

__device__ __forceinline__ int64_t global_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t grid_threads() { return int64_t{gridDim.x} * blockDim.x; }

/// The sum over a warp, in every lane. All 32 lanes take part.
template <typename T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(kAllLanes, v, lanes);
  return v;
}
__device__ __forceinline__ float warp_max(float v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, lanes));
  return v;
}

/// The sum over a one-dimensional block of whole warps, in every thread, always added in one order. `scratch` has an
/// element a warp and may be used again after the next __syncthreads.
template <typename T>
__device__ __forceinline__ T block_sum(T v, T* scratch) {
  v = warp_sum(v);
  const unsigned warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[warp] = v;
  __syncthreads();
  T total = scratch[0];
  for (unsigned w = 1; w < blockDim.x / kWarp; ++w) total += scratch[w];
  return total;
}

/// Blocks of `threads` that give each thread `per_thread` of `count` elements, as many as fill the device a few times:
/// kernels stride over the rest.
inline unsigned blocks_for(int64_t count, int64_t per_thread, int threads) {
  const int64_t wanted = (count + per_thread * threads - 1) / (per_thread * threads);
  const int64_t most = int64_t{multiprocessors()} * (2048 / threads) * 4;
  return static_cast<unsigned>(wanted < 1 ? 1 : wanted < most ? wanted : most);
}

}  // namespace cytograd
