// How kernels walk x [rows, C]: a thread has eight neighbouring channels and goes down the rows, so that what belongs
// to a channel stays in its registers. A block is `blockDim.x` such threads side by side, `blockDim.y` rows deep; a
// grid is `gridDim.x` blocks over the channels, `gridDim.y` over the rows, which they take in turns.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/device.cuh"

namespace cytograd {

constexpr int kChannelBlock = 256;  // threads
constexpr int kEight = 8;           // channels of a thread: 16 bytes in 16 bits, and a byte of a bit mask

/// Values of neighbouring channels as they lie in memory. As an array of 16-bit values each would take a register.
template <typename T, int kCount>
struct Neighbours {
  uint32_t words[kCount * sizeof(T) / 4];

  __device__ __forceinline__ float operator[](int i) const {
    if constexpr (sizeof(T) == 4) {
      return __uint_as_float(words[i]);
    } else {
      T value;
      value.bits = static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)));
      return static_cast<float>(value);
    }
  }
  __device__ __forceinline__ void set(int i, T value) {
    if constexpr (sizeof(T) == 4) {
      words[i] = __float_as_uint(value);
    } else {
      const int shift = 16 * (i % 2);
      words[i / 2] = (words[i / 2] & (0xffff0000u >> shift)) | uint32_t{value.bits} << shift;
    }
  }
};

template <typename T>
using Eight = Neighbours<T, kEight>;

/// Elements of 16 bytes that are aligned to as many.
template <typename T>
using Sixteen = Neighbours<T, Pack<T>::kCount>;  // bytes

template <typename T>
__device__ __forceinline__ Sixteen<T> load_sixteen(const void* p) {
  const uint4 raw = *static_cast<const uint4*>(p);
  return {{raw.x, raw.y, raw.z, raw.w}};
}
template <typename T>
__device__ __forceinline__ void store_sixteen(void* p, const Sixteen<T>& v) {
  store16(p, uint4{v.words[0], v.words[1], v.words[2], v.words[3]});
}

/// Whether rows of `channels` can be accessed as whole Eights, 16 bytes at a time.
inline bool packed_channels(int64_t channels, std::initializer_list<const void*> arrays) {
  bool packed = channels % kEight == 0;
  for (const void* array : arrays) packed = packed && aligned16(array);
  return packed;
}

/// The first `count` of eight; the rest are 0. Where kPacked, all eight.
template <bool kPacked, typename T>
__device__ __forceinline__ Eight<T> load_eight(const T* p, int count) {
  Eight<T> eight{};
  if constexpr (kPacked) {
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(T)) / 2; ++i) {
      const uint4 raw = reinterpret_cast<const uint4*>(p)[i];
      eight.words[4 * i] = raw.x;
      eight.words[4 * i + 1] = raw.y;
      eight.words[4 * i + 2] = raw.z;
      eight.words[4 * i + 3] = raw.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      if (i < count) eight.set(i, p[i]);
    }
  }
  return eight;
}

template <bool kPacked, typename T>
__device__ __forceinline__ void store_eight(T* p, const Eight<T>& eight, int count) {
  if constexpr (kPacked) {
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(T)) / 2; ++i) {
      const uint32_t* words = eight.words + 4 * i;
      store16(reinterpret_cast<uint4*>(p) + i, uint4{words[0], words[1], words[2], words[3]});
    }
  } else {
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      if (i < count) p[i] = T(eight[i]);
    }
  }
}

/// The running thread's part: channels [channel, channel + count) of some rows. Its rows' elements begin at `first`,
/// `first + stride`, ... below `end`, or mirrored(those), last row first. Threads beyond the last channel have none.
struct ChannelWalk {
  int64_t channel;
  int count;  ///< 8, or what is left; not above 0 beyond the last channel
  int64_t first;
  int64_t stride;
  int64_t end;

  /// `tile`: which of the blocks side by side this is.
  __device__ ChannelWalk(int64_t rows, int64_t channels, int64_t tile = blockIdx.x)
      : channel((tile * blockDim.x + threadIdx.x) * kEight),
        count(static_cast<int>(channels - channel < kEight ? channels - channel : kEight)),
        first((int64_t{blockIdx.y} * blockDim.y + threadIdx.y) * channels + channel),
        stride(int64_t{gridDim.y} * blockDim.y * channels),
        end(count > 0 ? rows * channels : 0),
        mirror_((rows - 1) * channels + 2 * channel) {}

  /// Whether the thread has the row `k` steps after that at `first`, which it has.
  __device__ bool has(int64_t first_at, int k) const { return k == 0 || first_at + k * stride < end; }

  /// What a pass before this one read last may still be in the L2 cache.
  __device__ int64_t mirrored(int64_t at) const { return mirror_ - at; }

 private:
  int64_t mirror_;
};

/// Where a bit mask of [rows, C], a byte for eight channels, has the byte of the eight at element `at`.
template <bool kPacked>
__device__ __forceinline__ int64_t mask_byte(int64_t at, int64_t channels) {
  if constexpr (kPacked) return at >> 3;
  return at / channels * ((channels + kEight - 1) / kEight) + at % channels / kEight;
}

struct ChannelGrid {
  dim3 grid;
  dim3 block;
};

/// How many blocks share the rows.
struct RowShare {
  int64_t rows_per_thread = 1;            ///< at least
  int64_t blocks_per_multiprocessor = 1;  ///< at most, those side by side counted in
  int64_t splits = 0;  ///< 0: as the two above have it; else so many, if there are rows for them
};

inline ChannelGrid channel_grid(int64_t rows, int64_t channels, const RowShare& share) {
  const int64_t eights = (channels + kEight - 1) / kEight;
  int64_t across = 1;
  while (across < eights && across < kWarp) across *= 2;
  const int64_t down = kChannelBlock / across;
  const int64_t tiles = (eights + across - 1) / across;
  const int64_t rows_per_block = down * (share.splits > 0 ? 1 : share.rows_per_thread);
  const int64_t wanted = (rows + rows_per_block - 1) / rows_per_block;
  const int64_t most =
      share.splits > 0 ? share.splits : multiprocessors() * share.blocks_per_multiprocessor / tiles;
  const int64_t splits = std::clamp<int64_t>(std::min(wanted, most), 1, 65535);
  return {{static_cast<unsigned>(tiles), static_cast<unsigned>(splits)},
          {static_cast<unsigned>(across), static_cast<unsigned>(down)}};
}

/// Sums each of v over threadIdx.y, always in one order; the threads with threadIdx.y == 0 have the result. blockDim.y
/// is a power of two.
template <int kValues, typename T>
__device__ __forceinline__ void sum_down(T (&v)[kValues], T (&scratch)[kValues][kChannelBlock]) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kValues; ++i) scratch[i][thread] = v[i];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) {
#pragma unroll
      for (int i = 0; i < kValues; ++i) v[i] += scratch[i][thread + half * blockDim.x];
#pragma unroll
      for (int i = 0; i < kValues; ++i) scratch[i][thread] = v[i];
    }
  }
}

constexpr int kPartialsInFlight = 8;

/// add(load(i, true)) for each i below `splits` that is the running thread's, of those with its threadIdx.x; several
/// are loaded before the first is added. load(i, false) is what changes no sum.
template <typename Load, typename Add>
__device__ __forceinline__ void each_partial(int64_t splits, const Load& load, const Add& add) {
  const int64_t step = int64_t{kPartialsInFlight} * blockDim.y;
  for (int64_t first = threadIdx.y; first < splits; first += step) {  // mutation: a round more adds nothing
    decltype(load(first, true)) partials[kPartialsInFlight];
#pragma unroll
    for (int k = 0; k < kPartialsInFlight; ++k) {
      const int64_t i = first + k * int64_t{blockDim.y};
      partials[k] = load(i, i < splits);
    }
#pragma unroll
    for (int k = 0; k < kPartialsInFlight; ++k) add(partials[k]);
  }
}

/// f(ElementTag<T>{}, std::bool_constant<packed>{}).
template <typename F>
void dispatch_channels(ElementType type, bool packed, const F& f) {
  dispatch_element(type, [&]<typename T>(ElementTag<T> tag) {
    if (packed) {
      f(tag, std::true_type{});
    } else {
      f(tag, std::false_type{});
    }
  });
}

}  // namespace cytograd
