// How batch norm walks x [rows, C]: in lines of whole rows, as wide as vectors like, and in chunks of lines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "engine/tensor.h"

namespace cytograd {

/// Lanes that a 32-bit mask covers; lane i is bit i.
constexpr int64_t kMaskLanes = 32;

/// Bit i is set where the ReLU lets v[i] through: v[i] > 0, or NaN.
inline uint32_t relu_bits(const float* v, int64_t lanes) {
  uint32_t bits = 0;
#pragma omp simd reduction(| : bits)
  for (int64_t i = 0; i < lanes; ++i) bits |= (v[i] <= 0.0f ? 0u : 1u) << i;
  return bits;
}

/// Little-endian, the first of `lanes` bits lowest; bytes past them are left alone.
inline void store_bits(uint8_t* bytes, uint32_t bits, int64_t lanes) {
  for (int64_t i = 0; i < (lanes + 7) / 8; ++i) bytes[i] = static_cast<uint8_t>(bits >> (8 * i));
}
inline uint32_t load_bits(const uint8_t* bytes, int64_t lanes) {
  uint32_t bits = 0;
  for (int64_t i = 0; i < (lanes + 7) / 8; ++i) bits |= uint32_t{bytes[i]} << (8 * i);
  return bits;
}

/// x as [lines, width]: each line holds `width / channels` rows, so that lane j of every line is channel
/// j % channels and starts at a multiple of kMaskLanes. The last line may be short, by whole rows. Chunks
/// follow from the shape alone: sums over them do not depend on the threads.
struct ChannelLines {
  static constexpr int64_t kMinWidth = 256;        // spreads a line's cost over enough lanes
  static constexpr int64_t kMinChunkRows = 64;     // a chunk's partial sums are small beside its rows
  static constexpr int64_t kMinChunk = 64 * 1024;  // elements
  static constexpr int64_t kBlock = 1024;          // lanes whose partial sums stay in the L1 cache

  int64_t channels;
  int64_t elements;
  int64_t width;
  int64_t chunk;  // elements, a multiple of width

  explicit ChannelLines(const Tensor& x) : channels(x.dim(x.rank() - 1)), elements(x.elements()) {
    int64_t copies = kMaskLanes / std::gcd(channels, kMaskLanes);
    while (channels * copies < kMinWidth) copies *= 2;
    width = channels * copies;
    const int64_t wanted = std::max(kMinChunk, channels * kMinChunkRows);
    chunk = (wanted + width - 1) / width * width;
  }

  int64_t rows() const { return elements / channels; }
  int64_t chunks() const { return (elements + chunk - 1) / chunk; }
  /// Elements of chunk i, which begins at i * chunk.
  int64_t chunk_elements(int64_t i) const { return std::min(chunk, elements - i * chunk); }

  /// f32 [width]: value(c) in each lane of channel c.
  template <typename Value>
  Tensor spread(const Value& value) const {
    Tensor table = Tensor::empty({width});
    float* out = table.data<float>();
    for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<float>(value(c));
    for (int64_t j = channels; j < width; ++j) out[j] = out[j - channels];
    return table;
  }

  /// body(first, lanes) for each line of chunk i; `first` is its first element.
  template <typename Body>
  void each_line(int64_t i, const Body& body) const {
    const int64_t begin = i * chunk;
    const int64_t end = begin + chunk_elements(i);
    for (int64_t first = begin; first < end; first += width) body(first, std::min(width, end - first));
  }

  /// sums[lane's channel] += lane for `count` lanes from `lane` on.
  void fold(const float* lanes, int64_t lane, int64_t count, float* sums) const {
    int64_t c = lane % channels;
    for (int64_t j = 0; j < count; ++j) {
      sums[c] += lanes[j];
      if (++c == channels) c = 0;
    }
  }
};

}  // namespace cytograd
