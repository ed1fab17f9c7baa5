// One pass over flat arrays: y[i] = f(a[i], b[i]), computed in f32. Bound by memory.
//
// A thread takes eight elements at a time, in accesses of 16 bytes; what is left at the end, or all of arrays that are
// not aligned, goes one by one.
#pragma once

#include "kernels/device.cuh"

namespace cytograd {

constexpr int kElementwiseBlock = 256;
constexpr int kElementwiseChunk = 8;

template <typename T>
__device__ __forceinline__ void load_chunk(const T* p, float (&v)[kElementwiseChunk]) {
  constexpr int kCount = Pack<T>::kCount;
#pragma unroll
  for (int i = 0; i < kElementwiseChunk; i += kCount) {
    const Pack<T> pack = load_pack(p + i);
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[i + j] = static_cast<float>(pack.v[j]);
  }
}

template <typename T>
__device__ __forceinline__ void store_chunk(T* p, const float (&v)[kElementwiseChunk]) {
  constexpr int kCount = Pack<T>::kCount;
#pragma unroll
  for (int i = 0; i < kElementwiseChunk; i += kCount) {
    Pack<T> pack;
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.v[j] = T(v[i + j]);
    store_pack(p + i, pack);
  }
}

/// `chunks`: of eight elements that may be accessed as packs. b may be null: f then gets 0 for it.
template <typename X, typename Y, typename F>
__global__ void __launch_bounds__(kElementwiseBlock)
    elementwise_kernel(const X* a, const X* b, Y* y, int64_t chunks, int64_t count, F f) {
  for (int64_t i = global_thread(); i < chunks; i += grid_threads()) {
    const int64_t at = i * kElementwiseChunk;
    float u[kElementwiseChunk], v[kElementwiseChunk];
    load_chunk(a + at, u);
    if (b != nullptr) load_chunk(b + at, v);
#pragma unroll
    for (int j = 0; j < kElementwiseChunk; ++j) u[j] = f(u[j], b != nullptr ? v[j] : 0.0f);
    store_chunk(y + at, u);
  }
  for (int64_t i = chunks * kElementwiseChunk + global_thread(); i < count; i += grid_threads())
    y[i] = Y(f(static_cast<float>(a[i]), b != nullptr ? static_cast<float>(b[i]) : 0.0f));
}

/// Queues y[i] = f(float of a[i], float of b[i]) on the stream; b may be null.
template <typename X, typename Y, typename F>
void elementwise(const char* name, const X* a, const X* b, Y* y, int64_t count, const F& f,
                 device::Stream stream) {
  if (count == 0) return;
  const bool aligned = aligned16(a) && aligned16(b) && aligned16(y);
  launch(name, elementwise_kernel<X, Y, F>,
         {.grid = {blocks_for(count, kElementwiseChunk, kElementwiseBlock)},
          .block = {kElementwiseBlock},
          .stream = stream},
         a, b, y, aligned ? count / kElementwiseChunk : 0, count, f);
}

}  // namespace cytograd
