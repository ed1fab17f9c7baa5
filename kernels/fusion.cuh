// Tiles of fused, shrunk pixels. A block copies the raw pixels of a square tile of the crop to shared memory, in
// accesses of 16 bytes, and its threads take pixels from there in any order: turned and mirrored images cost no more
// than others. Where not even a small tile fits (shrink beyond 8 or so), threads read global memory.
//
// A thread keeps one group of channels, so that what belongs to a channel stays in its registers, and goes through the
// pixels: thread t has group t % groups, and each (256 / groups)-th pixel from t / groups on.
#pragma once

#include <bit>
#include <climits>
#include <stdexcept>

#include "kernels/device.cuh"
#include "kernels/fusion.h"

namespace cytograd {

constexpr int kTileBlock = 256;

// ---- how crops are cut into tiles

/// Counts within a tile fit 32 bits.
struct Tiling {
  int32_t log_side = 0;   ///< tiles are square, but for the last of a row or a column
  int32_t staged = 0;     ///< 1: raw pixels go through shared memory
  int32_t raw_pitch = 0;  ///< bytes between rows of raw pixels there
  int32_t raw_bytes = 0;  ///< all of them, a multiple of 16
  int32_t raw_lanes = 0;  ///< logarithm of the threads that copy a row of them
  uint32_t across = 0;    ///< tiles side by side
  uint32_t an_image = 0;
};

/// The logarithm of how many threads take a row of at most `bytes` by 16, wherever in its first 16 it starts.
inline int32_t log_lanes(int64_t bytes) {
  return static_cast<int32_t>(std::bit_width(static_cast<uint64_t>(bytes + 14) / 16));
}

/// The largest tiles whose raw pixels, and `other(side)` bytes beside them, fit `most` bytes of shared memory.
template <typename Other>
Tiling tiling_of(const FusedImages& images, int64_t most, const Other& other) {
  constexpr int kMaxLogSide = 6, kMinLogSide = 3;
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
  if (images.count * an_image > INT_MAX) throw std::invalid_argument("too many pixels for one launch");
  tiling.across = static_cast<uint32_t>(across);
  tiling.an_image = static_cast<uint32_t>(an_image);
  return tiling;
}

/// A rectangle of the crop, at most a tile.
struct Patch {
  int64_t top;
  int64_t left;
  int32_t rows;
  int32_t columns;
};

/// What is left of [0, extent) from a tile's first row or column on.
__device__ __forceinline__ int32_t tile_extent(int64_t first, int64_t extent, int32_t log_side) {
  const int32_t side = 1 << log_side;
  return extent - first < side ? static_cast<int32_t>(extent - first) : side;
}

/// The i-th tile of a crop, not turned.
__device__ __forceinline__ Patch tile_of(const FusedImages& images, const Tiling& tiling, uint32_t i) {
  const int64_t top = int64_t{i / tiling.across} << tiling.log_side;
  const int64_t left = int64_t{i % tiling.across} << tiling.log_side;
  return {top, left, tile_extent(top, images.rows, tiling.log_side),
          tile_extent(left, images.columns, tiling.log_side)};
}

// ---- fusions: the channels of one group at one pixel, not yet divided by the pixels of its box

struct NoTable {};

/// No fusion: a group is a channel.
struct PlainPixels {
  using Value = uint32_t;
  using Table = NoTable;
  static constexpr int kValues = 1;

  __device__ PlainPixels(const FusedImages& images, const Table&, int group)
      : shrink(images.shrink), channels(images.channels), channel(group) {}
  static __device__ void fill(const FusedImages&, Table&) {}

  template <int kShrink, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index pitch, Value (&v)[kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
    first += channel;
    v[0] = 0;
#pragma unroll(kShrink > 0 ? kShrink : 1)
    for (int32_t i = 0; i < side; ++i, first += pitch) {
#pragma unroll(kShrink > 0 ? kShrink : 1)
      for (int32_t j = 0; j < side; ++j) v[0] += first[j * channels];
    }
  }

  int32_t shrink, channels, channel;
};

/// Each channel's value has a share of red, green and blue; sums saturate. All three are one group, since the table's
/// word has all three.
struct ColouredPixels {
  struct Table {
    uint32_t rgb[kMaxImageChannels * 256];
  };
  using Value = uint32_t;
  static constexpr int kValues = 3;

  __device__ ColouredPixels(const FusedImages& images, const Table& table, int)
      : rgb(table.rgb), shrink(images.shrink), channels(images.channels) {}
  static __device__ void fill(const FusedImages& images, Table& table) {
    for (int32_t i = threadIdx.x; i < images.channels * 256; i += kTileBlock) {
      const uint8_t* colour = images.colormap + 3 * i;
      table.rgb[i] = colour[0] | uint32_t{colour[1]} << 8 | uint32_t{colour[2]} << 16;
    }
  }

  template <int kShrink, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index pitch, Value (&v)[kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
    v[0] = v[1] = v[2] = 0;
#pragma unroll 1
    for (int32_t i = 0; i < side; ++i, first += pitch) {
      const uint8_t* raw = first;
#pragma unroll 1
      for (int32_t j = 0; j < side; ++j) {
        uint32_t red_blue = 0, green = 0;  // sums of eight times 255 fit the 16 bits that each has
#pragma unroll 2
        for (int32_t c = 0; c < channels; ++c) {
          const uint32_t word = rgb[c * 256 + *raw++];
          red_blue += word & 0x00ff00ffu;
          green += word >> 8 & 0xffu;
        }
        const uint32_t red = red_blue & 0xffffu, blue = red_blue >> 16;
        v[0] += red < 255 ? red : 255;
        v[1] += green < 255 ? green : 255;
        v[2] += blue < 255 ? blue : 255;
      }
    }
  }

  const uint32_t* rgb;
  int32_t shrink, channels;
};

/// bias + weight * (mean of the box): a group is a fused channel.
struct MixedPixels {
  struct Table {
    float weight[kMaxImageChannels][kMaxImageChannels];  // over the pixels of a box
    float bias[kMaxImageChannels];
  };
  using Value = float;
  static constexpr int kValues = 1;

  __device__ MixedPixels(const FusedImages& images, const Table& table, int group)
      : bias(table.bias[group]), shrink(images.shrink), channels(images.channels) {
#pragma unroll
    for (int32_t c = 0; c < kMaxImageChannels; ++c) weight[c] = table.weight[group][c];
  }
  static __device__ void fill(const FusedImages& images, Table& table) {
    const int32_t k = static_cast<int32_t>(threadIdx.x) / kMaxImageChannels;
    const int32_t c = static_cast<int32_t>(threadIdx.x) % kMaxImageChannels;
    if (k >= images.fused) return;
    const auto pixels = static_cast<float>(int64_t{images.shrink} * images.shrink);
    table.weight[k][c] = c < images.channels ? images.weight[k * images.channels + c] / pixels : 0.0f;
    if (c == 0) table.bias[k] = images.bias[k];
  }

  template <int kShrink, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index pitch, Value (&v)[kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
    uint32_t box[kMaxImageChannels] = {};
#pragma unroll 1
    for (int32_t i = 0; i < side; ++i, first += pitch) {
      const uint8_t* raw = first;
#pragma unroll 1
      for (int32_t j = 0; j < side; ++j, raw += channels) {
#pragma unroll
        for (int32_t c = 0; c < kMaxImageChannels; ++c) {
          if (c < channels) box[c] += raw[c];
        }
      }
    }
    v[0] = bias;
#pragma unroll
    for (int32_t c = 0; c < kMaxImageChannels; ++c) v[0] += weight[c] * static_cast<float>(box[c]);
  }

  float weight[kMaxImageChannels];
  float bias;
  int32_t shrink, channels;
};

template <typename F>
struct FusionTag {
  using type = F;
};

/// f(FusionTag<F>{}) with the pixels that `fusion` names.
template <typename F>
void dispatch_fusion(FusionKind fusion, const F& f) {
  switch (fusion) {
    case FusionKind::none:
      return f(FusionTag<PlainPixels>{});
    case FusionKind::colormap:
      return f(FusionTag<ColouredPixels>{});
    case FusionKind::linear:
      return f(FusionTag<MixedPixels>{});
  }
}

// ---- a block's walk over a patch

/// Address of the patch's first raw pixel.
__device__ __forceinline__ const uint8_t* first_raw(const FusedImages& images, int64_t image,
                                                    const Patch& patch) {
  const ImageView& view = images.views[image];
  const int64_t y = (view.top + patch.top) * images.shrink;
  const int64_t x = (view.left + patch.left) * images.shrink;
  return images.images + ((image * images.height + y) * images.width + x) * images.channels;
}

/// How far into 16 aligned bytes an address is.
__device__ __forceinline__ uint32_t in_slot(const void* p) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % 16);
}

/// Copies a patch's raw pixels; the first goes to raw + in_slot(first).
__device__ __forceinline__ void stage(const FusedImages& images, const Tiling& tiling, const uint8_t* first,
                                      const Patch& patch, uint8_t* raw) {
  constexpr int kAtOnce = 4;  // loads under way
  const int64_t pitch = images.width * images.channels;
  const uint8_t* const end = images.images + images.count * images.height * pitch;
  const auto bytes = static_cast<uint32_t>(patch.columns * images.shrink * images.channels);
  const auto rows = static_cast<uint32_t>(patch.rows * images.shrink);
  const uint8_t* const last = first + (rows - 1) * pitch;
  const uint32_t step = kTileBlock >> tiling.raw_lanes;
  const uint32_t slot = threadIdx.x & ((1u << tiling.raw_lanes) - 1);
  uint32_t row = threadIdx.x >> tiling.raw_lanes;
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
#pragma unroll 1
  for (; row < rows; row += kAtOnce * step) {  // mutation: one row more is loaded, and not stored
    Pack<uint8_t> packs[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      // Who has no row, or no part of it, repeats the last: loads in branches would wait for each other.
      const uint8_t* near = row + i * step < rows ? line : last;
      const uint32_t last_slot = (in_slot(near) + bytes - 1) / 16;
      packs[i] = load_pack(near - in_slot(near) + 16 * (slot < last_slot ? slot : last_slot));
      line += step * pitch;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (row + i * step < rows && slot * 16 < to % 16 + bytes)
        store_pack(raw + (to & ~15u) + slot * 16, packs[i]);
      to += step * tiling.raw_pitch;
    }
  }
}

/// The running thread's part of each patch.
struct PixelPart {
  int32_t group;
  int32_t first;
  int32_t step;

  __device__ explicit PixelPart(int32_t groups)
      : group(static_cast<int32_t>(threadIdx.x) % groups),
        first(static_cast<int32_t>(threadIdx.x) / groups),
        step(kTileBlock / groups) {
    if (first >= step) first = INT_MAX - kTileBlock;  // one of the few that are left over
  }
};

template <int kShrink, typename F, typename Index, typename Visit>
__device__ __forceinline__ void visit_pixels(const F& fusion, const uint8_t* first, Index pitch,
                                             int32_t log_side, const Patch& patch, const PixelPart& part,
                                             Visit& visit) {
  const int32_t shrink = kShrink > 0 ? kShrink : fusion.shrink;
  const Index row_step = pitch * shrink;
  const Index column_step = Index{shrink} * fusion.channels;
#pragma unroll 1
  for (int32_t i = part.first; i < patch.rows << log_side; i += part.step) {
    const int32_t row = i >> log_side;
    const int32_t column = i & ((1 << log_side) - 1);
    if (column >= patch.columns) continue;
    typename F::Value v[F::kValues];
    fusion.template read<kShrink>(first + row * row_step + column * column_step, pitch, v);
    visit(row, column, v);
  }
}

/// visit(row, column, v) for the thread's pixels and channels of the patch; `raw` is what stage() filled. The shrinks
/// that training uses have loops of their own.
template <typename F, typename Visit>
__device__ __forceinline__ void visit_patch(const F& fusion, const FusedImages& images, const Tiling& tiling,
                                            const uint8_t* first, const uint8_t* raw, const Patch& patch,
                                            const PixelPart& part, Visit& visit) {
  if (tiling.staged == 0) {
    visit_pixels<0>(fusion, first, images.width * images.channels, tiling.log_side, patch, part, visit);
  } else if (images.shrink == 1) {
    visit_pixels<1>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  } else if (images.shrink == 2) {
    visit_pixels<2>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  } else {
    visit_pixels<0>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  }
}

}  // namespace cytograd
