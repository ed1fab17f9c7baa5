// Tiles of fused, shrunk pixels. A block copies the raw pixels of a square tile of the crop to shared memory, in
// accesses of 16 bytes, and its threads take pixels from there in any order: turned and mirrored images cost no more
// than others. Where not even a small tile fits (shrink beyond 8 or so), threads read global memory.
//
// A thread keeps one group of channels, so that what belongs to a channel stays in its registers, and some columns of
// the tile, so that going through the rows adds one step to an address: see PixelPart.
#pragma once

#include <bit>
#include <climits>
#include <stdexcept>

#include "kernels/device.cuh"
#include "kernels/fusion.h"

namespace cytograd {

constexpr int kLogTileBlock = 8, kTileBlock = 1 << kLogTileBlock;
constexpr int kMaxLogSide = 6, kMinLogSide = 3;  // of tiles
constexpr int kLogRun = 2, kRun = 1 << kLogRun;  // pixels that a thread reads at once
static_assert(kLogRun <= kMinLogSide);
// A thread has no more than these of a tile.
constexpr int kMaxPixelsAThread =
    kRun * (1 << kMaxLogSide) / ((kTileBlock / kMaxImageChannels) >> (kMaxLogSide - kLogRun));

// ---- how crops are cut into tiles

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

// ---- fusions: the channels of one group at some pixels, `apart` bytes from each other, not yet divided by the pixels
// of their boxes

struct NoTable {};

/// No fusion: a group is a channel.
struct PlainPixels {
  using Value = uint32_t;
  using Table = NoTable;
  static constexpr int kValues = 1;

  __device__ PlainPixels(const FusedImages& images, const Table&, int group)
      : shrink(images.shrink), channels(images.channels), offset(group) {}
  static __device__ int32_t groups(const FusedImages& images) { return images.fused; }
  static __device__ void fill(const FusedImages&, Table&) {}

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
#pragma unroll
    for (int p = 0; p < kPixels; ++p) v[p][0] = 0;
#pragma unroll(kShrink > 0 ? kShrink : 1)
    for (int32_t i = 0; i < side; ++i) {
#pragma unroll(kShrink > 0 ? kShrink : 1)
      for (int32_t j = 0; j < side; ++j) {
#pragma unroll
        for (int p = 0; p < kPixels; ++p) v[p][0] += first[i * pitch + j * channels + p * apart];
      }
    }
  }

  int32_t shrink, channels;
  int32_t offset;  // of what it reads in a pixel
};

/// No fusion, six channels: a group is all of a pixel, which a thread reads in two words. The images start at an even
/// address; so then does each pixel.
struct SixChannels {
  using Value = uint32_t;
  using Table = NoTable;
  static constexpr int kValues = 6;
  // Beside it, a byte or a sum of some is a float's mantissa: 2^23 and more.
  static constexpr uint32_t kLift = 0x4b000000;

  __device__ SixChannels(const FusedImages& images, const Table&, int) : shrink(images.shrink) {}
  static __device__ int32_t groups(const FusedImages&) { return 1; }
  static __device__ void fill(const FusedImages&, Table&) {}

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    if constexpr (kShrink == 1 || kShrink == 2) {
      read_above<kShrink, 0>(first, apart, pitch, v);
    } else {
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
#pragma unroll
        for (int c = 0; c < kValues; ++c) v[p][c] = 0;
#pragma unroll 1
        for (int32_t i = 0; i < shrink; ++i) {
#pragma unroll 1
          for (int32_t j = 0; j < shrink; ++j) {
#pragma unroll
            for (int c = 0; c < kValues; ++c) v[p][c] += first[i * pitch + j * kValues + c + p * apart];
          }
        }
      }
    }
  }

  /// read, with kLift in the values' bits: as floats, they are 2^23 more.
  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read_lifted(const uint8_t* first, Index apart, Index pitch,
                                              Value (&v)[kPixels][kValues]) const {
    read_above<kShrink, kLift>(first, apart, pitch, v);
  }

  /// Each channel of four pixels, shrink being 1, a byte a pixel.
  template <typename Index>
  __device__ __forceinline__ void read_planes(const uint8_t* first, Index apart,
                                              uint32_t (&plane)[kValues]) const {
    const Words words(first);
    uint32_t low[4], high[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      high[p] = words.at(p * apart, 1);
      low[p] = words.aligned(words.at(p * apart, 0), high[p]);
    }
    // Pairs: a channel of two pixels, then the next one's.
    const auto combine = [&](int c, const uint32_t(&word)[4], uint32_t pair) {
      const uint32_t first_two = __byte_perm(word[0], word[1], pair);
      const uint32_t last_two = __byte_perm(word[2], word[3], pair);
      plane[c] = __byte_perm(first_two, last_two, 0x5410);
      plane[c + 1] = __byte_perm(first_two, last_two, 0x7632);
    };
    combine(0, low, 0x5140);
    combine(2, low, 0x7362);
    combine(4, high, 0x5140 + words.skip * 0x1111);
  }

  int32_t shrink;
  static constexpr int32_t channels = kValues;
  static constexpr int32_t offset = 0;

 private:
  /// The aligned words around an even address and what is `skip` bytes in.
  struct Words {
    const uint8_t* start;
    uint32_t skip;  // 0 or 2
    __device__ __forceinline__ explicit Words(const uint8_t* p)
        : start(p - reinterpret_cast<uintptr_t>(p) % 4),
          skip(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % 4)) {}
    template <typename Index>
    __device__ __forceinline__ uint32_t at(Index bytes, int i) const {
      return *reinterpret_cast<const uint32_t*>(start + bytes + 4 * i);
    }
    /// Four bytes of two words, from `skip` on.
    __device__ __forceinline__ uint32_t aligned(uint32_t word, uint32_t next) const {
      return __byte_perm(word, next, 0x3210 + skip * 0x1111);
    }
  };

  template <int kShrink, uint32_t kAbove, int kPixels, typename Index>
  __device__ __forceinline__ void read_above(const uint8_t* first, Index apart, Index pitch,
                                             Value (&v)[kPixels][kValues]) const {
    if constexpr (kShrink == 1) {
      const Words words(first);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const uint32_t high = words.at(p * apart, 1);
        const uint32_t low = words.aligned(words.at(p * apart, 0), high);
        // One byte, and the upper three of kAbove.
#pragma unroll
        for (int c = 0; c < 4; ++c) v[p][c] = __byte_perm(low, kAbove, 0x7650 + c);
        v[p][4] = __byte_perm(high, kAbove, 0x7650 + words.skip);
        v[p][5] = __byte_perm(high, kAbove, 0x7651 + words.skip);
      }
    } else {
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
#pragma unroll
        for (int c = 0; c < kValues; ++c) v[p][c] = kAbove;
      }
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const Words words(first + row * pitch);
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
          uint32_t word[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) word[i] = words.at(p * apart, i);
#pragma unroll
          for (int i = 0; i < 3; ++i) word[i] = words.aligned(word[i], word[i + 1]);
          // Pairs of channels of both pixels.
          const uint32_t pair[3] = {__byte_perm(word[0], word[1], 0x7160),
                                    __byte_perm(word[0], word[2], 0x5342),
                                    __byte_perm(word[1], word[2], 0x7160)};
#pragma unroll
          for (int c = 0; c < kValues; ++c)
            v[p][c] = __dp4a(pair[c / 2], c % 2 == 0 ? 0x00000101u : 0x01010000u, v[p][c]);
        }
      }
    }
  }
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
  static __device__ int32_t groups(const FusedImages&) { return 1; }
  static __device__ void fill(const FusedImages& images, Table& table) {
    for (int32_t i = threadIdx.x; i < images.channels * 256; i += kTileBlock) {
      const uint8_t* colour = images.colormap + 3 * i;
      table.rgb[i] = colour[0] | uint32_t{colour[1]} << 8 | uint32_t{colour[2]} << 16;
    }
  }

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
#pragma unroll
    for (int p = 0; p < kPixels; ++p) v[p][0] = v[p][1] = v[p][2] = 0;
#pragma unroll 1
    for (int32_t i = 0; i < side; ++i) {
#pragma unroll 1
      for (int32_t j = 0; j < side; ++j) add_colours(first + i * pitch + j * channels, apart, v);
    }
  }

  template <int kPixels, typename Index>
  __device__ __forceinline__ void add_colours(const uint8_t* raw, Index apart,
                                              Value (&v)[kPixels][kValues]) const {
    // Sums of eight times 255 fit 16 bits. That of green goes over its 8 bits within the sum of words: what red and
    // blue leave of it.
    uint32_t words[kPixels] = {}, red_blue[kPixels] = {};
    const uint32_t* colours = rgb;
#pragma unroll 2
    for (int32_t c = 0; c < channels; ++c, ++raw, colours += 256) {
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const uint32_t word = colours[raw[p * apart]];
        words[p] += word;
        red_blue[p] += word & 0x00ff00ffu;
      }
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const uint32_t red = red_blue[p] & 0xffffu, green = (words[p] - red_blue[p]) >> 8,
                     blue = red_blue[p] >> 16;
      v[p][0] += red < 255 ? red : 255;
      v[p][1] += green < 255 ? green : 255;
      v[p][2] += blue < 255 ? blue : 255;
    }
  }

  const uint32_t* rgb;
  int32_t shrink, channels;
  static constexpr int32_t offset = 0;
};

/// bias + weight * (mean of the box): a group is up to four fused channels, which share what is read.
struct MixedPixels {
  struct alignas(16) Table {
    float weight[kMaxImageChannels]
                [kMaxImageChannels];  // [channels, fused], over the pixels of a box; 0 beyond
    float bias[kMaxImageChannels];
  };
  using Value = float;
  static constexpr int kValues = 4;
  static_assert(kMaxImageChannels % kValues == 0 && kMaxImageChannels * kMaxImageChannels <= kTileBlock);

  __device__ MixedPixels(const FusedImages& images, const Table& table, int group)
      : weight(&table.weight[0][group * kValues]),
        bias(load_pack(table.bias + group * kValues)),
        shrink(images.shrink),
        channels(images.channels) {}
  static __device__ int32_t groups(const FusedImages& images) {
    return (images.fused + kValues - 1) / kValues;
  }
  static __device__ void fill(const FusedImages& images, Table& table) {
    const int32_t c = static_cast<int32_t>(threadIdx.x) / kMaxImageChannels;
    const int32_t k = static_cast<int32_t>(threadIdx.x) % kMaxImageChannels;
    if (c >= kMaxImageChannels) return;
    const auto pixels = static_cast<float>(int64_t{images.shrink} * images.shrink);
    const bool used = c < images.channels && k < images.fused;
    table.weight[c][k] = used ? images.weight[k * images.channels + c] / pixels : 0.0f;
    if (c == 0) table.bias[k] = k < images.fused ? images.bias[k] : 0.0f;
  }

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    const int32_t side = kShrink > 0 ? kShrink : shrink;
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
#pragma unroll
      for (int k = 0; k < kValues; ++k) v[p][k] = bias.v[k];
    }
    const float* weights = weight;
#pragma unroll(kShrink == 1 ? 2 : 1)
    for (int32_t c = 0; c < channels; ++c, ++first, weights += kMaxImageChannels) {
      uint32_t box[kPixels] = {};
#pragma unroll(kShrink > 0 ? kShrink : 1)
      for (int32_t i = 0; i < side; ++i) {
#pragma unroll(kShrink > 0 ? kShrink : 1)
        for (int32_t j = 0; j < side; ++j) {
#pragma unroll
          for (int p = 0; p < kPixels; ++p) box[p] += first[i * pitch + j * channels + p * apart];
        }
      }
      const Pack<float> w = load_pack(weights);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const auto value = static_cast<float>(box[p]);
#pragma unroll
        for (int k = 0; k < kValues; ++k) v[p][k] += w.v[k] * value;
      }
    }
  }

  const float* weight;
  Pack<float> bias;
  int32_t shrink, channels;
  static constexpr int32_t offset = 0;
};

template <typename F>
struct FusionTag {
  using type = F;
};

/// f(FusionTag<F>{}) with the pixels that `images` are read as. `results_aligned`: whether what is made of them starts
/// at 16 bytes.
template <typename F>
void dispatch_fusion(const FusedImages& images, bool results_aligned, const F& f) {
  switch (images.fusion) {
    case FusionKind::none:
      if (images.channels == SixChannels::kValues && results_aligned &&
          reinterpret_cast<uintptr_t>(images.images) % 2 == 0)
        return f(FusionTag<SixChannels>{});
      return f(FusionTag<PlainPixels>{});
    case FusionKind::colormap:
      return f(FusionTag<ColouredPixels>{});
    case FusionKind::linear:
      return f(FusionTag<MixedPixels>{});
  }
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
      visit.template take_run<kShrink>(fusion, first, apart, pitch);
      visit.next_row();
    }
  } else {
#pragma unroll 1
    for (int32_t row = part.row; row < patch.rows; row += part.step, first += row_step) {
#pragma unroll 1
      for (int32_t p = 0; p <= last >> log_runs; ++p) {
        typename F::Value v[1][F::kValues];
        fusion.template read<kShrink>(first + p * apart, apart, pitch, v);
        visit.template take<kShrink>(p, v[0]);
      }
      visit.next_row();
    }
  }
  visit.template end<kShrink>();
}

/// The thread's pixels and channels of the patch, for `visit`: begin(part, pixels from one of a run to the next); for
/// each row take_run(fusion, first, apart, pitch), which reads a run, or take(p, v) of a shorter one's pixels, and
/// next_row(); end(). `raw` is what stage() filled. The shrinks that training uses have loops of their own.
template <typename F, typename Visit>
__device__ __forceinline__ void visit_patch(const F& fusion, const FusedImages& images, const Tiling& tiling,
                                            const uint8_t* first, const uint8_t* raw, const Patch& patch,
                                            const PixelPart& part, Visit& visit) {
  if (tiling.staged == 0) {
    visit_pixels<0>(fusion, first, int64_t{tiling.row_bytes}, tiling.log_side, patch, part, visit);
  } else if (images.shrink == 1) {
    visit_pixels<1>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  } else if (images.shrink == 2) {
    visit_pixels<2>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  } else {
    visit_pixels<0>(fusion, raw + in_slot(first), tiling.raw_pitch, tiling.log_side, patch, part, visit);
  }
}

}  // namespace cytograd
