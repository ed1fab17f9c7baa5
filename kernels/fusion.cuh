// What becomes of a raw image's channels: the fused channels of one group at some pixels of a tile, `apart` bytes from
// each other, not yet divided by the pixels of their boxes.
#pragma once

#include "kernels/image_tiles.cuh"

namespace cytograd {

struct NoTable {};

/// No fusion: a group is a channel.
struct PlainPixels {
  using Value = uint32_t;
  using Table = NoTable;
  static constexpr int kValues = 1;
  static constexpr bool kAnyShrink = true;

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

/// Six channels as they are, shrink 1 or 2: a group is all of a pixel, which a thread reads in words. The images start
/// at an even address; so then does each pixel.
struct SixChannels {
  using Value = uint32_t;
  using Table = NoTable;
  static constexpr int kValues = 6;
  static constexpr bool kAnyShrink = false;
  // Beside it, a byte or a sum of some is a float's mantissa: 2^23 and more.
  static constexpr uint32_t kLift = 0x4b000000;

  __device__ SixChannels(const FusedImages& images, const Table&, int) : shrink(images.shrink) {}
  static __device__ int32_t groups(const FusedImages&) { return 1; }
  static __device__ void fill(const FusedImages&, Table&) {}

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    read_above<kShrink, 0>(first, apart, pitch, v);
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
  static constexpr bool kAnyShrink = true;

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

/// The same of six channels whose colours are ramps, shrink 1 or 2, without the table, in whose banks a warp's lookups
/// meet: rgb + x * colour, rounded down to a whole number, is rgb and the whole part of x * colour.
struct RampedSix : SixChannels {
  static constexpr int kValues = 3;

  __device__ RampedSix(const FusedImages& images, const Table&, int group)
      : SixChannels(images, {}, group), ramp(images.ramp) {}

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    read_lifted<kShrink>(first, apart, pitch, v);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
#pragma unroll
      for (int k = 0; k < kValues; ++k) v[p][k] -= kLift;
    }
  }

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read_lifted(const uint8_t* first, Index apart, Index pitch,
                                              Value (&v)[kPixels][kValues]) const {
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
#pragma unroll
      for (int k = 0; k < kValues; ++k) v[p][k] = kLift;
    }
#pragma unroll 1
    for (int i = 0; i < kShrink; ++i) {  // one row at once, by the registers
#pragma unroll
      for (int j = 0; j < kShrink; ++j) {
        Value raw[kPixels][channels];
        SixChannels::read_lifted<1>(first + i * pitch + j * channels, apart, pitch, raw);
#pragma unroll
        for (int p = 0; p < kPixels; ++p) add_colours(raw[p], v[p]);
      }
    }
  }

  /// SixChannels::read_planes of red, green and blue.
  template <typename Index>
  __device__ __forceinline__ void read_planes(const uint8_t* first, Index apart,
                                              uint32_t (&plane)[kValues]) const {
    Value v[4][kValues];
    read_lifted<1>(first, apart, Index{0}, v);
#pragma unroll
    for (int k = 0; k < kValues; ++k)
      plane[k] =
          __byte_perm(__byte_perm(v[0][k], v[1][k], 0x40), __byte_perm(v[2][k], v[3][k], 0x40), 0x5410);
  }

 private:
  __device__ __forceinline__ void add_colours(const Value (&raw)[channels], Value (&v)[kValues]) const {
    const float lift = __uint_as_float(kLift);  // beside it, a float's unit is 1
    float rgb[kValues] = {lift, lift, lift};
#pragma unroll
    for (int c = 0; c < channels; ++c) {
      const float scale = ramp[c].scale;
      const float x = __saturatef(fmaf(__uint_as_float(raw[c]), scale, -lift * scale));  // rounded once
#pragma unroll
      for (int k = 0; k < kValues; ++k) rgb[k] = __fmaf_rz(x, ramp[c].colour[k], rgb[k]);
    }
#pragma unroll
    for (int k = 0; k < kValues; ++k) v[k] += __float_as_uint(fminf(rgb[k], lift + 255.0f)) - kLift;
  }

  const FusedImages::Ramp* ramp;  // the kernel's argument: what is read of it takes no register
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
  static constexpr bool kAnyShrink = true;
  static_assert(kMaxImageChannels % kValues == 0 && kMaxImageChannels * kMaxImageChannels <= kTileBlock);

  /// Of a channel in a fused one, over the pixels of a box.
  static __device__ float weight_of(const FusedImages& images, int32_t fused, int32_t channel) {
    return images.weight[fused * images.channels + channel] /
           static_cast<float>(int64_t{images.shrink} * images.shrink);
  }

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
    table.weight[c][k] = c < images.channels && k < images.fused ? weight_of(images, k, c) : 0.0f;
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

/// The same of six channels into up to three, shrink 1 or 2: a pixel is read in words, and a group is all of it. Values
/// are without the bias, and of what the channels' boxes are above the image's whole `centre`: so they are rounded by
/// how far channels are from their means, however bright those are.
struct MixedSix : SixChannels {
  struct Table : MixedPixels::Table {
    float centre[channels];  // of each image anew, with kLift
  };
  using Value = float;
  static constexpr int kValues = 3;

  __device__ MixedSix(const FusedImages& images, const Table& table, int group)
      : SixChannels(images, {}, group) {
#pragma unroll
    for (int c = 0; c < channels; ++c) {
      centre[c] = table.centre[c];
#pragma unroll
      for (int k = 0; k < kValues; ++k) weight[c][k] = table.weight[c][k];
    }
  }
  static __device__ void fill(const FusedImages& images, Table& table) { MixedPixels::fill(images, table); }

  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void read(const uint8_t* first, Index apart, Index pitch,
                                       Value (&v)[kPixels][kValues]) const {
    uint32_t box[kPixels][channels];
    read_lifted<kShrink>(first, apart, pitch, box);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
#pragma unroll
      for (int c = 0; c < channels; ++c) {
        const float value = __uint_as_float(box[p][c]) - centre[c];  // exactly
#pragma unroll
        for (int k = 0; k < kValues; ++k)
          v[p][k] = c == 0 ? weight[c][k] * value : fmaf(weight[c][k], value, v[p][k]);
      }
    }
  }

  float weight[channels][kValues];
  float centre[channels];
};

template <typename F>
struct FusionTag {
  using type = F;
};

/// Whether pixels can be read as SixChannels reads them.
inline bool in_words(const FusedImages& images) {
  return images.channels == SixChannels::channels && images.shrink <= 2 &&
         reinterpret_cast<uintptr_t>(images.images) % 2 == 0;
}

/// f(FusionTag<F>{}) with the pixels that `images` are read as. `results_aligned`: whether what is made of them starts
/// at 16 bytes.
template <typename F>
void dispatch_fusion(const FusedImages& images, bool results_aligned, const F& f) {
  switch (images.fusion) {
    case FusionKind::none:
      if (in_words(images) && results_aligned) return f(FusionTag<SixChannels>{});
      return f(FusionTag<PlainPixels>{});
    case FusionKind::colormap:
      if (in_words(images) && images.ramps == images.channels) return f(FusionTag<RampedSix>{});
      return f(FusionTag<ColouredPixels>{});
    case FusionKind::linear:
      if (in_words(images) && images.fused <= MixedSix::kValues) return f(FusionTag<MixedSix>{});
      return f(FusionTag<MixedPixels>{});
  }
}

}  // namespace cytograd
