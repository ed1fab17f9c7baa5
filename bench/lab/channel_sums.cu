// The way to kernels/channel_sums.cu, a step a variant. C bytes a pixel are read; of C + C (C + 1) / 2 sums each pixel
// adds to all.
#include "bench/lab/variant.h"
#include "kernels/channel_sums.h"
#include "kernels/device.cuh"

namespace cytograd::bench {
namespace {

constexpr int kBlock = 128;
constexpr int kMost = static_cast<int>(kMaxSummedChannels);
constexpr int kMostSums = kMost + kMost * (kMost + 1) / 2;
// Of a thread, whose sums of products 32 bits then hold.
constexpr int64_t kMostPixels = 65'536;

using Sum = unsigned long long;

/// Adds a total of channel i (j < 0), or of channels i and j, to where it belongs.
__device__ __forceinline__ void add_total(Sum* sums, int channels, int i, int j, Sum total) {
  if (j < 0) {
    atomicAdd(sums + i, total);
    return;
  }
  atomicAdd(sums + (1 + i) * channels + j, total);
  if (i != j) atomicAdd(sums + (1 + j) * channels + i, total);
}

__global__ void naive_kernel(const uint8_t* x, Sum* sums, int64_t pixels, int channels) {
  const int64_t p = global_thread();
  if (p >= pixels) return;
  for (int i = 0; i < channels; ++i) {
    const Sum a = x[p * channels + i];
    add_total(sums, channels, i, -1, a);
    for (int j = 0; j <= i; ++j) add_total(sums, channels, i, j, a * x[p * channels + j]);
  }
}

template <bool kDot>
__device__ __forceinline__ void add_products(const uint32_t (&values)[kMost], int channels,
                                             uint32_t (&sum)[kMostSums]) {
  int k = kMost;
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    sum[i] = kDot ? __dp4a(values[i], 0x01010101u, sum[i]) : sum[i] + values[i];
#pragma unroll
    for (int j = 0; j <= i; ++j, ++k) {
      if (i < channels) sum[k] = kDot ? __dp4a(values[i], values[j], sum[k]) : sum[k] + values[i] * values[j];
    }
  }
}

__device__ __forceinline__ void add_warps(const uint32_t (&sum)[kMostSums], Sum* sums, int channels) {
  int k = kMost;
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    const Sum total = warp_sum(uint64_t{sum[i]});
    if (i < channels && threadIdx.x % kWarp == 0) add_total(sums, channels, i, -1, total);
#pragma unroll
    for (int j = 0; j <= i; ++j, ++k) {
      const Sum product = warp_sum(uint64_t{sum[k]});
      if (i < channels && threadIdx.x % kWarp == 0) add_total(sums, channels, i, j, product);
    }
  }
}

/// A thread's sums stay in its registers; the byte of a channel is a load.
__global__ void registers_kernel(const uint8_t* x, Sum* sums, int64_t pixels, int channels) {
  uint32_t sum[kMostSums] = {};
  for (int64_t p = global_thread(); p < pixels; p += grid_threads()) {
    uint32_t values[kMost] = {};
#pragma unroll
    for (int c = 0; c < kMost; ++c) {
      if (c < channels) values[c] = x[p * channels + c];
    }
    add_products<false>(values, channels, sum);
  }
  add_warps(sum, sums, channels);
}

/// Four pixels at a time, a word a channel: one instruction multiplies and adds four bytes.
__global__ void dot_kernel(const uint8_t* x, Sum* sums, int64_t pixels, int channels) {
  uint32_t sum[kMostSums] = {};
  for (int64_t p = 4 * global_thread(); p < pixels; p += 4 * grid_threads()) {
    uint32_t values[kMost] = {};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (p + k >= pixels) break;
#pragma unroll
      for (int c = 0; c < kMost; ++c) {
        if (c < channels) values[c] |= uint32_t{x[(p + k) * channels + c]} << (8 * k);
      }
    }
    add_products<true>(values, channels, sum);
  }
  add_warps(sum, sums, channels);
}

using Kernel = void (*)(const uint8_t*, Sum*, int64_t, int);

/// `per_thread`: pixels at a time; 0: one pixel a thread in all.
void launch_sums(const char* name, Kernel kernel, int64_t per_thread, const ChannelSumsArguments& arguments,
                 device::Stream stream) {
  if (arguments.pixels == 0) return;
  const auto threads_for = [&](int64_t each) { return (arguments.pixels + each - 1) / each; };
  int64_t threads = threads_for(per_thread > 0 ? per_thread : 1);
  if (per_thread > 0) {
    const int64_t resident = int64_t{multiprocessors()} * 2048;
    const int64_t least = threads_for(kMostPixels);
    threads = threads < resident ? threads : resident;
    threads = threads > least ? threads : least;
  }
  launch(
      name, kernel,
      {.grid = {static_cast<unsigned>((threads + kBlock - 1) / kBlock)}, .block = {kBlock}, .stream = stream},
      arguments.x, reinterpret_cast<Sum*>(arguments.sums), arguments.pixels,
      static_cast<int>(arguments.channels));
}

void launch_naive(const ChannelSumsArguments& arguments, device::Stream stream) {
  launch_sums("channel_sums_naive", naive_kernel, 0, arguments, stream);
}
void launch_registers(const ChannelSumsArguments& arguments, device::Stream stream) {
  launch_sums("channel_sums_registers", registers_kernel, 1, arguments, stream);
}
void launch_dot(const ChannelSumsArguments& arguments, device::Stream stream) {
  launch_sums("channel_sums_dot", dot_kernel, 4, arguments, stream);
}

const AddVariant<ChannelSumsArguments> naive("naive", "a thread a pixel, an atomic addition a sum",
                                             launch_naive);
const AddVariant<ChannelSumsArguments> registers("registers",
                                                 "a thread keeps sums of many pixels, a warp adds them once",
                                                 launch_registers);
const AddVariant<ChannelSumsArguments> dot("dot", "four pixels an instruction (dp4a)", launch_dot);
// production: pixels come in accesses of 16 bytes through shared memory, and bytes are permuted, not loaded one by one.

}  // namespace
}  // namespace cytograd::bench
