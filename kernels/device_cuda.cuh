// device.cuh's part for nvcc.
#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

#include "kernels/cuda_check.h"
#include "kernels/runtime.h"

namespace cytograd {

struct LaunchConfig {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  device::Stream stream = nullptr;
};

/// Queues the kernel. Throws where it cannot be launched; what goes wrong while it runs shows at the next wait.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchConfig& config,
            Arguments... arguments) {
  if (config.shared_bytes > 0)
    device::allow_shared(reinterpret_cast<const void*>(kernel), config.shared_bytes, name);
  kernel<<<config.grid, config.block, config.shared_bytes, config.stream>>>(
      static_cast<Parameters>(arguments)...);
  device::check(cudaGetLastError(), name, __FILE__, __LINE__);
}

template <typename T>
__device__ __forceinline__ T& block_shared() {
  __shared__ T storage;
  return storage;
}

template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ uint4 cytograd_dynamic_shared[];
  return reinterpret_cast<T*>(cytograd_dynamic_shared);
}

/// 16 bytes to p, aligned to 16, by one instruction: of a plain assignment nvcc at times makes four.
__device__ __forceinline__ void store16(void* p, const uint4& value) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

/// 16 bytes from global to shared memory, both aligned to 16, past the registers: loads follow each other without end.
__device__ __forceinline__ void copy16_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}
/// Until the thread's copies are there: for itself, and for others after a barrier.
__device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// p, which is in global memory. Kernels' arguments are known to be; what a kernel finds in a table in memory is not,
/// and would be followed by generic accesses.
template <typename T>
__device__ __forceinline__ T* in_global(T* p) {
  __builtin_assume(__isGlobal(p));
  return p;
}

template <typename T>
__device__ __forceinline__ auto two_halves(uint32_t word) {
  std::conditional_t<std::is_same_v<T, bf16>, __nv_bfloat162, __half2> halves;
  memcpy(&halves, &word, sizeof(word));
  return halves;
}

/// All bits set in each half of the result where that half of `a`, a T, is greater than `b`'s.
template <typename T>
__device__ __forceinline__ uint32_t halves_greater(uint32_t a, uint32_t b) {
  return __hgt2_mask(two_halves<T>(a), two_halves<T>(b));
}

/// All bits set in each half of the result where that half of `v`, a T, is NaN.
template <typename T>
__device__ __forceinline__ uint32_t halves_nan(uint32_t v) {
  return __hneu2_mask(two_halves<T>(v), two_halves<T>(v));
}

inline int multiprocessors() { return device::info().multiprocessors; }

}  // namespace cytograd
