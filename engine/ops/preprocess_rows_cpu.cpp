#include "engine/ops/preprocess_rows_cpu.h"

#include <algorithm>

namespace cytograd::detail {

PreprocessRows::PreprocessRows(const PreprocessGeometry& geometry, const PreprocessOptions& options)
    : geometry_(geometry),
      fusion_(options.fusion),
      boxed_channels_(options.fusion == Fusion::colormap ? 3 : geometry.channels) {
  if (fusion_ == Fusion::colormap) {
    const uint8_t* table = options.colormap.shares().data<uint8_t>();
    colours_.resize(static_cast<size_t>(geometry.channels * 256));
    for (size_t i = 0; i < colours_.size(); ++i)
      colours_[i] = table[i * 3] | uint64_t{table[i * 3 + 1]} << 16 | uint64_t{table[i * 3 + 2]} << 32;
  }
  if (fusion_ == Fusion::linear) {
    const float* weight = options.linear_weight.data<float>();
    const auto pixels = static_cast<float>(geometry.shrink * geometry.shrink);
    std::copy_n(options.linear_bias.data<float>(), geometry.fused, bias_.begin());
    for (int64_t k = 0; k < geometry.fused; ++k) {
      for (int64_t c = 0; c < geometry.channels; ++c)
        weight_[c][k] = weight[k * geometry.channels + c] / pixels;
    }
  }
}

size_t PreprocessRows::workspace_bytes() const {
  // Eight bytes a raw element: sums of at most four, and colours or sums along the row. Then a row of boxes.
  const int64_t boxes = geometry_.columns * boxed_channels_;
  return static_cast<size_t>(raw_elements() * 8 + boxes * 4);
}

const uint8_t* PreprocessRows::source(const uint8_t* image, const View& view, int64_t row) const {
  const int64_t y = (view.top + row) * geometry_.shrink;
  return image + (y * geometry_.width + view.left * geometry_.shrink) * geometry_.channels;
}

void PreprocessRows::colour_row(const uint8_t* source, int64_t count, uint8_t* out) const {
  with_channels(geometry_.channels, [&](auto channels) {
    for (int64_t x = 0; x < count; ++x) {
      uint64_t sum = 0;
      for (int64_t c = 0; c < channels; ++c) sum += colours_[c * 256 + source[x * channels + c]];
      for (int64_t lane = 0; lane < 3; ++lane)
        out[x * 3 + lane] = static_cast<uint8_t>(std::min<uint64_t>(sum >> (16 * lane) & 0xffff, 255));
    }
  });
}

template <typename Sum>
void PreprocessRows::sum_down(const uint8_t* source, std::byte* workspace) const {
  const int64_t n = raw_elements();
  const int64_t stride = geometry_.width * geometry_.channels;
  Sum* __restrict down = reinterpret_cast<Sum*>(workspace);
  auto* colours = reinterpret_cast<uint8_t*>(workspace + n * static_cast<int64_t>(sizeof(Sum)));
  std::fill_n(down, n, Sum{});
  for (int64_t i = 0; i < geometry_.shrink; ++i) {
    const uint8_t* __restrict row = source + i * stride;
    if (fusion_ == Fusion::colormap) {
      colour_row(row, geometry_.columns * geometry_.shrink, colours);
      row = colours;
    }
    for (int64_t j = 0; j < n; ++j) down[j] = static_cast<Sum>(down[j] + row[j]);
  }
}

template <typename S>
void PreprocessRows::linear_row(const S* source, float* out) const {
  using Pixel [[gnu::vector_size(kMaxChannels * sizeof(float))]] = float;  // one pixel, all fused channels
  Pixel bias;
  std::array<Pixel, kMaxChannels> weight;
  std::memcpy(&bias, bias_.data(), sizeof(bias));
  std::memcpy(weight.data(), weight_.data(), sizeof(weight));
  with_channels(geometry_.fused, [&](auto fused) {
    for (int64_t x = 0; x < geometry_.columns; ++x) {
      Pixel sum = bias;
      for (int64_t c = 0; c < geometry_.channels; ++c)
        sum += weight[c] * static_cast<float>(source[x * geometry_.channels + c]);
      std::memcpy(out + x * fused, &sum, fused * sizeof(float));
    }
  });
}

void PreprocessRows::fill(const uint8_t* image, const View& view, int64_t row, std::byte*,
                          uint8_t* out) const {
  colour_row(source(image, view, row), geometry_.columns, out);
}

void PreprocessRows::fill(const uint8_t* image, const View& view, int64_t row, std::byte* workspace,
                          uint16_t* out) const {
  const int64_t k = geometry_.shrink;
  const int64_t channels = boxed_channels_;
  sum_down<uint16_t>(source(image, view, row), workspace);
  // Sums of K neighbours at every pixel in one flat loop, of which each K-th is kept: more additions than
  // needed, but whole vectors of them.
  const auto* __restrict down = reinterpret_cast<const uint16_t*>(workspace);
  uint16_t* __restrict along = reinterpret_cast<uint16_t*>(workspace) + raw_elements();
  const int64_t windows = raw_elements() - (k - 1) * channels;
  std::copy_n(down, windows, along);
  for (int64_t i = 1; i < k; ++i) {
    for (int64_t j = 0; j < windows; ++j) along[j] = static_cast<uint16_t>(along[j] + down[j + i * channels]);
  }
  gather_pixels(along, k * channels, geometry_.columns, channels, out);
}

void PreprocessRows::fill(const uint8_t* image, const View& view, int64_t row, std::byte* workspace,
                          float* out) const {
  const int64_t k = geometry_.shrink;
  const uint8_t* raw = source(image, view, row);
  std::byte* boxes = workspace + raw_elements() * 8;
  if (k == 1) return linear_row(raw, out);
  if (k <= kIntegerShrink) {
    auto* sums = reinterpret_cast<uint16_t*>(boxes);
    fill(image, view, row, workspace, sums);
    return linear_row(sums, out);
  }
  sum_down<uint32_t>(raw, workspace);
  const auto* down = reinterpret_cast<const uint32_t*>(workspace);
  float* sums = fusion_ == Fusion::linear ? reinterpret_cast<float*>(boxes) : out;
  for (int64_t x = 0; x < geometry_.columns; ++x) {
    for (int64_t c = 0; c < boxed_channels_; ++c) {
      uint64_t sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += down[(x * k + i) * boxed_channels_ + c];
      sums[x * boxed_channels_ + c] = static_cast<float>(sum);
    }
  }
  if (fusion_ == Fusion::linear) linear_row(sums, out);
}

}  // namespace cytograd::detail
