// What batch norm's forward and backward share: their grids, and the last step of their sums.
#pragma once

#include "kernels/channels.cuh"

namespace cytograd {

/// Rows whose loads a thread has in flight, of one array or two: 64 bytes. 1024 threads a multiprocessor then ask for 64
/// KiB at a time, where 33 bytes a nanosecond and 0.7 us of latency need 23.
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

constexpr int kPartialsInFlight = 8;

struct FinishShared {
  double sums[2][kChannelBlock];
};

}  // namespace cytograd
