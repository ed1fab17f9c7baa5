// The first pass of preprocess on a CPU: raw rows to rows of fused and shrunk pixels.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/op_options.h"

namespace cytograd::detail {

inline constexpr int64_t kMaxChannels = PreprocessOptions::kMaxChannels;
inline constexpr int64_t kIntegerShrink = 16;  ///< 255 * 16 * 16 fits 16 bits

struct PreprocessGeometry {
  int64_t width;     ///< of the raw image
  int64_t channels;  ///< of the raw image
  int64_t fused;     ///< channels after fusion
  int64_t rows;      ///< of the crop, in shrunk pixels
  int64_t columns;
  int64_t shrink;

  int64_t row_elements() const { return columns * fused; }
};

/// Calls f(std::integral_constant<int64_t, C>) with C = channels, so that loops over channels unroll.
template <typename F>
void with_channels(int64_t channels, const F& f) {
  const auto call = [&]<int64_t... C>(std::integer_sequence<int64_t, C...>) {
    (void)((channels == C + 1 && (f(std::integral_constant<int64_t, C + 1>{}), true)) || ...);
  };
  call(std::make_integer_sequence<int64_t, kMaxChannels>{});
}

/// `count` pixels, `step` elements apart (it may be negative), one after another.
template <typename T>
void gather_pixels(const T* source, int64_t step, int64_t count, int64_t channels, T* destination) {
  with_channels(channels, [&](auto c) {
    for (int64_t x = 0; x < count; ++x) std::memcpy(destination + x * c, source + x * step, c * sizeof(T));
  });
}

/// Reads rows of a crop. Shared by all threads.
class PreprocessRows {
 public:
  PreprocessRows(const PreprocessGeometry& geometry, const PreprocessOptions& options);

  /// Bytes, aligned to 8, that `fill` works in.
  size_t workspace_bytes() const;

  /// Row `row` of the view's crop of one image. 8 bits hold colours without shrink; 16 bits hold sums (not
  /// means) of K x K pixels, K <= kIntegerShrink; floats hold sums for a larger K, and for Fusion::linear the
  /// fused value.
  void fill(const uint8_t* image, const View& view, int64_t row, std::byte* workspace, uint8_t* out) const;
  void fill(const uint8_t* image, const View& view, int64_t row, std::byte* workspace, uint16_t* out) const;
  void fill(const uint8_t* image, const View& view, int64_t row, std::byte* workspace, float* out) const;

 private:
  const uint8_t* source(const uint8_t* image, const View& view, int64_t row) const;
  int64_t raw_elements() const { return geometry_.columns * geometry_.shrink * boxed_channels_; }
  void colour_row(const uint8_t* source, int64_t count, uint8_t* out) const;
  template <typename Sum>
  void sum_down(const uint8_t* source, std::byte* workspace) const;
  template <typename S>
  void linear_row(const S* source, float* out) const;

  PreprocessGeometry geometry_;
  Fusion fusion_;
  int64_t boxed_channels_ = 0;     // of the pixels that are averaged
  std::vector<uint64_t> colours_;  // [C, 256]: red, green and blue, 16 bits each
  std::array<std::array<float, kMaxChannels>, kMaxChannels> weight_{};  // [C, K], over the pixels of a box
  std::array<float, kMaxChannels> bias_{};
};

}  // namespace cytograd::detail
