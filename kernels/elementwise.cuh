// One pass over flat arrays: y[i] = f(a[i], b[i]), computed in f32. Bound by memory.
//
// A block takes tiles of 2048 elements. A thread has eight of them in accesses of 16 bytes, each beside its neighbours'
// of the warp; where types differ, those of the narrower one are of 8. What is left at the end, or all of arrays that
// are not aligned, goes one by one.
#pragma once

#include <algorithm>

#include "kernels/device.cuh"

namespace cytograd {

constexpr int kElementwiseBlock = 256;
constexpr int kElementwiseChunk = 8;  // elements of a thread in a tile
constexpr int kElementwiseTile = kElementwiseBlock * kElementwiseChunk;

/// Elements of one access to arrays of these types.
template <typename... T>
constexpr int kAccess = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// v[0, kCount) from p, aligned to as many bytes as it takes.
template <int kCount, typename T>
__device__ __forceinline__ void load_values(const T* p, float* v) {
  if constexpr (kCount == Pack<T>::kCount) {
    const Pack<T> pack = load_pack(p);
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[j] = static_cast<float>(pack.v[j]);
  } else {
    static_assert(kCount * sizeof(T) == sizeof(uint2));
    const uint2 raw = *reinterpret_cast<const uint2*>(p);
    T values[kCount];
    memcpy(values, &raw, sizeof(raw));
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[j] = static_cast<float>(values[j]);
  }
}

template <int kCount, typename T>
__device__ __forceinline__ void store_values(T* p, const float* v) {
  if constexpr (kCount == Pack<T>::kCount) {
    Pack<T> pack;
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.v[j] = T(v[j]);
    store_pack(p, pack);
  } else {
    static_assert(kCount * sizeof(T) == sizeof(uint2));
    T values[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) values[j] = T(v[j]);
    uint2 raw;
    memcpy(&raw, values, sizeof(raw));
    *reinterpret_cast<uint2*>(p) = raw;
  }
}

/// Where the running thread's eight elements of a tile lie: element k of them at at(k), for k a multiple of kCount.
template <int kCount>
struct TilePart {
  int64_t first;
  __device__ explicit TilePart(int64_t tile) : first(tile * kElementwiseTile + threadIdx.x * kCount) {}
  __device__ int64_t at(int k) const { return first + k * kElementwiseBlock; }
};

/// `tiles`: that may be accessed as packs. b may be null: f then gets 0 for it.
template <typename X, typename Y, typename F>
__global__ void __launch_bounds__(kElementwiseBlock)
    elementwise_kernel(const X* a, const X* b, Y* y, int64_t tiles, int64_t count, F f) {
  constexpr int kCount = kAccess<X, Y>;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const TilePart<kCount> part(tile);
    float u[kElementwiseChunk] = {}, v[kElementwiseChunk] = {};
#pragma unroll
    for (int k = 0; k < kElementwiseChunk; k += kCount) {
      load_values<kCount>(a + part.at(k), u + k);
      if (b != nullptr) load_values<kCount>(b + part.at(k), v + k);
    }
#pragma unroll
    for (int k = 0; k < kElementwiseChunk; k += kCount) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) u[k + j] = f(u[k + j], v[k + j]);
      store_values<kCount>(y + part.at(k), u + k);
    }
  }
  for (int64_t i = tiles * kElementwiseTile + global_thread(); i < count; i += grid_threads())
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
         a, b, y, aligned ? count / kElementwiseTile : 0, count, f);
}

}  // namespace cytograd
