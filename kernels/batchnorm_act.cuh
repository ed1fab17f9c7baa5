// What batch norm's kernels share: what becomes of a channel's sums and of eight channels of a row; and grids.
#pragma once

#include "kernels/batchnorm_act.h"
#include "kernels/channels.cuh"

namespace cytograd {

/// Rows whose loads a thread has in flight, of one array or two: 64 bytes. 1024 threads a multiprocessor then ask for
/// 64 KiB at a time, where 33 bytes a nanosecond and 0.7 us of latency need 23.
template <typename T, bool kPacked>
constexpr int kRowsInFlight = kPacked ? 8 / sizeof(T) : 1;
template <typename T, bool kPacked>
constexpr int kPairsInFlight = kPacked ? 4 / sizeof(T) : 1;

/// Of kernels that leave partial sums: one wave of blocks, and enough rows a thread that partials are few beside them.
inline ChannelGrid batchnorm_act_reduce_grid(int64_t rows, int64_t channels, int64_t splits) {
  return channel_grid(rows, channels,
                      {.rows_per_thread = 8, .blocks_per_multiprocessor = 4, .splits = splits});
}

/// Of kernels that write [rows, C].
inline ChannelGrid apply_grid(int64_t rows, int64_t channels) {
  return channel_grid(rows, channels, {.rows_per_thread = 8, .blocks_per_multiprocessor = 16});
}

/// Of kernels that add partials up: eight channels, a sector of 32 bytes, a block.
inline ChannelGrid finish_grid(int64_t channels) {
  constexpr unsigned kAcross = 8;
  return {{static_cast<unsigned>((channels + kAcross - 1) / kAcross)}, {kAcross, kChannelBlock / kAcross}};
}

/// m2 = sum (x - mean)^2 over the rows.
__device__ __forceinline__ double variance_of(double m2, int64_t rows) {
  return (m2 < 0.0 ? 0.0 : m2) / static_cast<double>(rows);  // NaN stays
}
__device__ __forceinline__ float inv_std_of(double variance, float epsilon) {
  return static_cast<float>(1.0 / sqrt(variance + static_cast<double>(epsilon)));
}

/// Writes what training leaves of channel c.
__device__ __forceinline__ void write_moments(const BatchnormActTrainArguments& arguments, int64_t c,
                                              double mean, double variance, float inv_std) {
  const double rows = static_cast<double>(arguments.rows);
  const double momentum = static_cast<double>(arguments.momentum);
  arguments.mean[c] = static_cast<float>(mean);
  arguments.inv_std[c] = inv_std;
  const auto update = [&](float* running, double now) {
    *running = static_cast<float>((1.0 - momentum) * static_cast<double>(*running) + momentum * now);
  };
  update(arguments.running_mean + c, mean);
  update(arguments.running_var + c, variance * rows / (rows - 1.0));
  if (c == 0 && arguments.batches_tracked != nullptr) ++*arguments.batches_tracked;
}

/// v = act((v - mean) * scale + beta + more) of a row's eight channels. Returns the ReLU's bits: where it lets through.
template <typename T>
__device__ __forceinline__ uint8_t normalize(Eight<T>& v, const Eight<T>& more, const Eight<float>& mean,
                                             const float (&scale)[kEight], const Eight<float>& beta,
                                             bool relu) {
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    const float value = fmaf(v[i] - mean[i], scale[i], beta[i]) + more[i];
    const bool off = relu && value <= 0.0f;  // NaN goes through
    bits |= (off ? 0u : 1u) << i;
    v.set(i, T(off ? 0.0f : value));
  }
  return static_cast<uint8_t>(bits);
}

/// dx = scale g + slope (x - mean) + shift.
struct InputGradientCoefficients {
  float scale, slope, shift;
};

/// Writes dbeta and dgamma of channel c, from sums of g and of g (x - mean).
__device__ __forceinline__ InputGradientCoefficients
write_sums(const BatchnormActBackwardArguments& arguments, int64_t c, double g, double product, float gamma,
           float inv_std) {
  const double scale = static_cast<double>(gamma) * static_cast<double>(inv_std);
  const double slope = static_cast<double>(inv_std) * product;
  const double rows = static_cast<double>(arguments.rows);
  arguments.dbeta[c] = static_cast<float>(g);
  arguments.dgamma[c] = static_cast<float>(slope);
  return {static_cast<float>(scale), static_cast<float>(-scale * static_cast<double>(inv_std) * slope / rows),
          static_cast<float>(-scale * g / rows)};
}

/// g, where the byte of the mask has each channel's bit.
template <typename T>
__device__ __forceinline__ float passed(const Eight<T>& dy, unsigned bits, int i) {
  return (bits >> i & 1u) != 0 ? dy[i] : 0.0f;
}

struct FinishShared {
  double sums[2][kChannelBlock];
};

}  // namespace cytograd
