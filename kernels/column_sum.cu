// sums[c] = sum_r x[r, c]. Bytes an element: 4 in f32, 2 in 16 bits; at 4.3 TB/s, 1,075 and 2,150 billion elements a
// second. The gradients it sums, [batch, classes], take less than a microsecond of that: two launches bound it, or
// one where a single block goes down all rows.
#include "kernels/channels.cuh"
#include "kernels/column_sum.h"

namespace cytograd {
namespace {

constexpr int kRowsInFlight = 4;

struct ColumnSumShared {
  float sums[kEight][kChannelBlock];
};

/// partials [gridDim.y, columns].
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    column_sum_kernel(const T* x, float* partials, int64_t rows, int64_t columns) {
  ColumnSumShared& shared = block_shared<ColumnSumShared>();
  const ChannelWalk walk(rows, columns);
  float sums[kEight] = {};
  for (int64_t first = walk.first; first < walk.end; first += kRowsInFlight * walk.stride) {
    Eight<T> v[kRowsInFlight];
#pragma unroll
    for (int k = 0; k < kRowsInFlight; ++k) {
      v[k] = walk.has(first, k) ? load_eight<kPacked>(x + first + k * walk.stride, walk.count) : Eight<T>{};
    }
#pragma unroll
    for (int k = 0; k < kRowsInFlight; ++k) {
#pragma unroll
      for (int i = 0; i < kEight; ++i) sums[i] += v[k][i];
    }
  }
  sum_down(sums, shared.sums);
  if (threadIdx.y == 0) {
    float* out = partials + blockIdx.y * columns + walk.channel;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      if (i < walk.count) out[i] = sums[i];
    }
  }
}

struct ColumnFinishShared {
  double sum[1][kChannelBlock];
};

__global__ void __launch_bounds__(kChannelBlock, 1)
    column_sum_finish_kernel(const float* partials, float* sums, int64_t splits, int64_t columns) {
  ColumnFinishShared& shared = block_shared<ColumnFinishShared>();
  const int64_t column = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const bool live = column < columns;
  double sum[1] = {};
  if (live) {
    each_partial(
        splits, [&](int64_t i, bool there) { return there ? partials[i * columns + column] : 0.0f; },
        [&](float partial) { sum[0] += static_cast<double>(partial); });
  }
  sum_down(sum, shared.sum);
  if (threadIdx.y == 0 && live) sums[column] = static_cast<float>(sum[0]);
}

ChannelGrid column_grid(int64_t rows, int64_t columns, int64_t splits) {
  return channel_grid(
      rows, columns,
      {.rows_per_thread = 4 * kRowsInFlight, .blocks_per_multiprocessor = 4, .splits = splits});
}

}  // namespace

int64_t column_sum_workspace(int64_t rows, int64_t columns, int64_t splits) {
  const ChannelGrid grid = column_grid(rows, columns, splits);
  return grid.grid.y > 1 ? grid.grid.y * columns : 0;
}

void launch_column_sum(const ColumnSumArguments& arguments, device::Stream stream) {
  const int64_t rows = arguments.rows, columns = arguments.columns;
  if (columns == 0) return;
  const ChannelGrid grid = column_grid(rows, columns, arguments.splits);
  const bool whole = grid.grid.y == 1;
  dispatch_channels(arguments.type, packed_channels(columns, {arguments.x}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      launch("column_sum", column_sum_kernel<T, Packed::value>,
                             {.grid = grid.grid, .block = grid.block, .stream = stream},
                             static_cast<const T*>(arguments.x), whole ? arguments.sums : arguments.workspace,
                             rows, columns);
                    });
  if (whole) return;
  constexpr unsigned kAcross = 8;  // a sector of 32 bytes
  launch("column_sum_finish", column_sum_finish_kernel,
         {.grid = {static_cast<unsigned>((columns + kAcross - 1) / kAcross)},
          .block = {kAcross, kChannelBlock / kAcross},
          .stream = stream},
         arguments.workspace, arguments.sums, int64_t{grid.grid.y}, columns);
}

}  // namespace cytograd
