// Tiles of raw images. A block copies the raw pixels of a square tile of the crop to shared memory, in accesses of 16
// bytes, and its threads take pixels from there in any order: turned and mirrored images cost no more than others.
// Where not even a small tile fits (shrink beyond 8 or so), threads read global memory.
//
// A thread keeps one group of channels, so that what belongs to a channel stays in its registers, and some columns of
// the tile, so that going through the rows adds one step to an address: see PixelPart.
#pragma once

#include <bit>
#include <climits>
#include <stdexcept>
#include <type_traits>

#include "kernels/device.cuh"
#include "kernels/fusion.h"

namespace cytograd {

constexpr int kLogTileBlock = 8, kTileBlock = 1 << kLogTileBlock;
constexpr int kMaxLogSide = 6, kMinLogSide = 3;  // of tiles
constexpr int kLogRun = 2, kRun = 1 << kLogRun;  // pixels that a thread reads at once
static_assert(kLogRun <= kMinLogSide);
/// Of a tile, at most: see PixelPart.
constexpr int pixels_a_thread(int32_t groups, int32_t log_side) {
  const int rows_at_once = (kTileBlock / groups) >> (log_side - kLogRun);
  return kRun * (((1 << log_side) + rows_at_once - 1) / rows_at_once);
}
constexpr int kMaxPixelsAThread = pixels_a_thread(kMaxImageChannels, kMaxLogSide);

// ---- how crops are cut

/// What a crop is tiled by. Positions in a crop, an image's rows and the bytes of one fit 32 bits.
struct Tiling {
  int32_t rows = 0;  ///< of the crop, in shrunk pixels
  int32_t columns = 0;
  int32_t row_bytes = 0;    ///< of a whole raw image
  int64_t image_bytes = 0;  ///< likewise
  int32_t log_side = 0;     ///< tiles are square, but for the last of a row or a column
  int32_t staged = 0;       ///< 1: raw pixels go through shared memory
  int32_t raw_pitch = 0;    ///< bytes between rows of raw pixels there
  int32_t raw_bytes = 0;    ///< all of them, a multiple of 16
  int32_t raw_lanes = 0;    ///< logarithm of the threads that copy a row of them
  uint32_t across = 0;      ///< tiles side by side
  uint32_t an_image = 0;
};

/// The logarithm of how many threads take a row of at most `bytes` by 16, wherever in its first 16 it starts.
inline int32_t log_lanes(int64_t bytes) {
  return static_cast<int32_t>(std::bit_width(static_cast<uint64_t>(bytes + 14) / 16));
}

/// The largest tiles whose raw pixels, and `other(side)` bytes beside them, fit `most` bytes of shared memory.
template <typename Other>
Tiling tiling_of(const FusedImages& images, int64_t most, const Other& other) {
  Tiling tiling;
  for (int log_side = kMaxLogSide; log_side >= kMinLogSide && tiling.staged == 0; --log_side) {
    const int64_t side = int64_t{1} << log_side;
    const int64_t row = side * images.shrink * images.channels;
    // Rows are as far apart, modulo 16, as in the images, so that what is aligned there is aligned here; and so far
    // that no two of them have a part in the same 16 bytes.
    const int64_t apart = row + 15;
    const int64_t pitch = apart + ((images.width * images.channels - apart) % 16 + 16) % 16;
    const int64_t bytes = (pitch * side * images.shrink + 31) / 16 * 16;
    tiling.log_side = log_side;
    if (bytes + other(side) > most) continue;
    tiling.staged = 1;
    tiling.raw_pitch = static_cast<int32_t>(pitch);
    tiling.raw_bytes = static_cast<int32_t>(bytes);
    tiling.raw_lanes = log_lanes(row);
  }
  const int64_t side = int64_t{1} << tiling.log_side;
  const int64_t across = (images.columns + side - 1) / side;
  const int64_t an_image = across * ((images.rows + side - 1) / side);
  const int64_t row_bytes = images.width * images.channels;
  if (images.count * an_image > INT_MAX || images.height > INT_MAX || row_bytes > INT_MAX ||
      images.columns * images.fused > INT_MAX)
    throw std::invalid_argument("too many pixels for one launch");
  tiling.rows = static_cast<int32_t>(images.rows);
  tiling.columns = static_cast<int32_t>(images.columns);
  tiling.row_bytes = static_cast<int32_t>(row_bytes);
  tiling.image_bytes = images.height * row_bytes;
  tiling.across = static_cast<uint32_t>(across);
  tiling.an_image = static_cast<uint32_t>(an_image);
  return tiling;
}

/// A rectangle of the crop, at most a tile.
struct Patch {
  int32_t top, left, rows, columns;
};

/// The i-th tile of a crop, not turned.
__device__ __forceinline__ Patch tile_of(const Tiling& tiling, uint32_t i) {
  const int32_t side = 1 << tiling.log_side;
  const auto top = static_cast<int32_t>(i / tiling.across) << tiling.log_side;
  const auto left = static_cast<int32_t>(i % tiling.across) << tiling.log_side;
  const int32_t below = tiling.rows - top, beside = tiling.columns - left;
  return {top, left, below < side ? below : side, beside < side ? beside : side};
}

// ---- a block's walk over a patch

/// Address of the patch's first raw pixel.
__device__ __forceinline__ const uint8_t* first_raw(const FusedImages& images, const Tiling& tiling,
                                                    uint32_t image, const Patch& patch) {
  const ImageView& view = images.views[image];
  const int32_t y = (static_cast<int32_t>(view.top) + patch.top) * images.shrink;
  const int32_t x = (static_cast<int32_t>(view.left) + patch.left) * images.shrink;
  return images.images + image * tiling.image_bytes + int64_t{y} * tiling.row_bytes + x * images.channels;
}

/// How far into 16 aligned bytes an address is.
__device__ __forceinline__ uint32_t in_slot(const void* p) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % 16);
}

/// How many of first, first + 2^log_step, ... are below `end`.
__device__ __forceinline__ int32_t strides(int32_t first, int32_t end, int32_t log_step) {
  return (end - first + (1 << log_step) - 1) >> log_step;
}

/// one(0) `count` times, followed by step(1), by fours where it can: then one(0) to one(3), and step(4).
template <typename One, typename Step>
__device__ __forceinline__ void in_fours(int32_t count, const One& one, const Step& step) {
#pragma unroll 1
  for (; count >= 4; count -= 4) {
#pragma unroll
    for (int k = 0; k < 4; ++k) one(k);
    step(4);
  }
#pragma unroll 1
  for (; count > 0; --count) {
    one(0);
    step(1);
  }
}

/// Copies a patch's raw pixels; the first goes to raw + in_slot(first). They are there after wait_copies and a barrier.
__device__ __forceinline__ void stage(const FusedImages& images, const Tiling& tiling, const uint8_t* first,
                                      const Patch& patch, uint8_t* raw) {
  const int64_t pitch = tiling.row_bytes;
  const uint8_t* const end = images.images + images.count * tiling.image_bytes;
  const auto bytes = static_cast<uint32_t>(patch.columns * images.shrink * images.channels);
  const int32_t rows = patch.rows * images.shrink;
  const uint8_t* const last = first + (rows - 1) * pitch;
  const int32_t step = kTileBlock >> tiling.raw_lanes;
  const uint32_t slot = threadIdx.x & ((1u << tiling.raw_lanes) - 1);
  auto row = static_cast<int32_t>(threadIdx.x >> tiling.raw_lanes);
  const uint8_t* line = first + row * pitch;
  uint32_t to = in_slot(first) + row * tiling.raw_pitch;
  if (first - in_slot(first) < images.images || last + bytes + 15 - in_slot(last + bytes + 15) > end) {
    // Some of the 16 bytes around the patch are not the images'.
#pragma unroll 1
    for (; row < rows; row += step, line += step * pitch, to += step * tiling.raw_pitch) {
#pragma unroll 1
      for (uint32_t i = slot; i < bytes; i += 1u << tiling.raw_lanes) raw[to + i] = line[i];
    }
    return;
  }
  if (step * tiling.raw_pitch % 16 == 0) {  // the thread's rows lie alike
    const uint32_t skew = to % 16;
    if (slot * 16 >= skew + bytes) return;
    const int64_t line_step = step * pitch;
    const uint32_t to_step = step * tiling.raw_pitch;
    uint8_t* out = raw + (to - skew) + slot * 16;
    line += static_cast<int64_t>(slot * 16) - skew;
    in_fours(
        strides(row, rows, kLogTileBlock - tiling.raw_lanes),
        [&](int k) { copy16_async(out + k * to_step, line + k * line_step); },
        [&](int k) {
          out += k * to_step;
          line += k * line_step;
        });
    return;
  }
#pragma unroll 1
  for (; row < rows; row += step, line += step * pitch, to += step * tiling.raw_pitch) {
    const uint32_t skew = to % 16;  // in_slot(line)
    if (slot * 16 < skew + bytes) copy16_async(raw + (to - skew) + slot * 16, line - skew + slot * 16);
  }
}

/// The running thread's part of each patch: of every step-th row from `row` on, a run of kRun pixels from `column` on,
/// a kRun-th of a tile apart, so that threads side by side take pixels side by side.
struct PixelPart {
  int32_t group, column, row, step;

  __device__ PixelPart(int32_t groups, int32_t log_side) {
    const int32_t log_runs = log_side - kLogRun;
    const int32_t run = static_cast<int32_t>(threadIdx.x) / groups;
    group = static_cast<int32_t>(threadIdx.x) % groups;
    column = run & ((1 << log_runs) - 1);
    row = run >> log_runs;
    step = (kTileBlock / groups) >> log_runs;
    if (row >= step) row = 1 << kMaxLogSide;  // one of the few that are left over
  }
};

template <int kShrink, typename F, typename Index, typename Visit>
__device__ __forceinline__ void visit_pixels(const F& fusion, const uint8_t* first, Index pitch,
                                             int32_t log_side, const Patch& patch, const PixelPart& part,
                                             Visit& visit) {
  if (part.row >= patch.rows || part.column >= patch.columns) return;
  const int32_t shrink = kShrink > 0 ? kShrink : fusion.shrink;
  const int32_t log_runs = log_side - kLogRun;
  const Index column_step = Index{shrink} * fusion.channels;
  const Index apart = column_step << log_runs;
  const Index row_step = part.step * (shrink * pitch);
  first += part.row * (shrink * pitch) + part.column * column_step + fusion.offset;
  visit.begin(part, 1 << log_runs);
  const int32_t last = patch.columns - 1 - part.column;
  if (kShrink > 0 && last >> log_runs >= kRun - 1) {
#pragma unroll 1
    for (int32_t row = part.row; row < patch.rows; row += part.step, first += row_step) {
      visit.template take<kShrink, kRun>(0, fusion, first, apart, pitch);
      visit.next_row();
    }
  } else {
#pragma unroll 1
    for (int32_t row = part.row; row < patch.rows; row += part.step, first += row_step) {
#pragma unroll 1
      for (int32_t p = 0; p <= last >> log_runs; ++p)
        visit.template take<kShrink, 1>(p, fusion, first + p * apart, apart, pitch);
      visit.next_row();
    }
  }
  visit.template end<kShrink>();
}

/// The thread's pixels and channels of the patch, for `visit`: begin(part, pixels from one of a run to the next); for
/// each row take(p, fusion, first, apart, pitch), which reads kPixels of a run from its p-th on, and next_row(); end().
/// `raw` is what stage() filled. The shrinks that training uses have loops of their own; where a fusion has no others,
/// its smallest tile always fits.
template <typename F, typename Visit>
__device__ __forceinline__ void visit_patch(const F& fusion, const FusedImages& images, const Tiling& tiling,
                                            const uint8_t* first, const uint8_t* raw, const Patch& patch,
                                            const PixelPart& part, Visit& visit) {
  const auto visit_staged = [&]<int kShrink>(std::integral_constant<int, kShrink>) {
    visit_pixels<kShrink>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part,
                          visit);
  };
  if constexpr (F::kAnyShrink) {
    if (tiling.staged == 0)
      return visit_pixels<0>(fusion, first, int64_t{tiling.row_bytes}, tiling.log_side, patch, part, visit);
    if (images.shrink > 2) return visit_staged(std::integral_constant<int, 0>{});
  }
  if (images.shrink == 1) return visit_staged(std::integral_constant<int, 1>{});
  visit_staged(std::integral_constant<int, 2>{});
}

}  // namespace cytograd
