// y = act((x - mean) / sqrt(var + epsilon) * gamma + beta + residual), per channel. Bound by memory: training
// reads x twice, the residual once and writes y once, with 1 bit an element for the ReLU's gradient.
#include "engine/ops/batchnorm_act_cpu.h"

#include <cmath>
#include <vector>

#include "engine/backend_cpu.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

/// sum += x - shift and square += (x - shift)^2.
template <typename T>
void add_moments(const T* x, int64_t lanes, const float* shift, float* sum, float* square) {
#pragma omp simd
  for (int64_t j = 0; j < lanes; ++j) {
    const float d = static_cast<float>(x[j]) - shift[j];
    sum[j] += d;
    square[j] += d * d;
  }
}

/// Mean and M2 (sum of squared deviations) of a chunk's channels in one sweep, about a shift that is the mean
/// of its first rows. Of n rows the shift is the mean of k, so M2 >= k (mean - shift)^2, and the subtraction
/// sum d^2 - (sum d)^2 / n loses at most a factor n / k of f32's precision whatever the data.
template <typename T>
void chunk_moments(const T* x, int64_t elements, const ChannelLines& lines, float* mean, float* m2,
                   float* shift) {
  constexpr int64_t kShiftRows = 8;
  const int64_t channels = lines.channels;
  const int64_t rows = elements / channels;
  const int64_t shift_rows = std::min(rows, kShiftRows);
  std::fill_n(shift, channels, 0.0f);
  for (int64_t r = 0; r < shift_rows; ++r) {
    for (int64_t c = 0; c < channels; ++c) shift[c] += static_cast<float>(x[r * channels + c]);
  }
  // Rounded as x is, so that differences of bf16 or f16 are exact: else all would lose the same low bits, which
  // adds up.
  for (int64_t c = 0; c < channels; ++c) {
    shift[c] = static_cast<float>(T(shift[c] / static_cast<float>(shift_rows)));
  }

  std::fill_n(mean, channels, 0.0f);
  std::fill_n(m2, channels, 0.0f);
  for (int64_t block = 0; block < lines.width; block += ChannelLines::kBlock) {
    const int64_t lanes = std::min(ChannelLines::kBlock, lines.width - block);
    float block_shift[ChannelLines::kBlock];
    float sum[ChannelLines::kBlock];
    float square[ChannelLines::kBlock];
    std::fill_n(sum, lanes, 0.0f);
    std::fill_n(square, lanes, 0.0f);
    for (int64_t j = 0, c = block % channels; j < lanes; ++j) {
      block_shift[j] = shift[c];
      if (++c == channels) c = 0;
    }
    for (int64_t at = block; at < elements; at += lines.width) {
      add_moments(x + at, std::min(lanes, elements - at), block_shift, sum, square);
    }
    lines.fold(sum, block, lanes, mean);
    lines.fold(square, block, lanes, m2);
  }
  for (int64_t c = 0; c < channels; ++c) {
    const float offset = mean[c] / static_cast<float>(rows);
    const float left = m2[c] - offset * mean[c];
    m2[c] = left < 0.0f ? 0.0f : left;  // NaN stays
    mean[c] = shift[c] + offset;
  }
}

/// f64 [C]: mean and M2 of all rows, chunks merged in their order. Chan, Golub, LeVeque, "Updating formulae and
/// a pairwise algorithm for computing sample variances" (1979).
struct Moments {
  std::vector<double> mean;
  std::vector<double> m2;
};

template <typename T>
Moments moments(const T* x, const ChannelLines& lines) {
  const int64_t channels = lines.channels;
  Tensor partial = Tensor::empty({lines.chunks(), 3, channels});
  float* partials = partial.data<float>();
  parallel_for(lines.chunks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* out = partials + i * 3 * channels;
      chunk_moments(x + i * lines.chunk, lines.chunk_elements(i), lines, out, out + channels,
                    out + 2 * channels);
    }
  });
  Moments all{std::vector<double>(static_cast<size_t>(channels)),
              std::vector<double>(static_cast<size_t>(channels))};
  double* mean = all.mean.data();
  double* m2 = all.m2.data();
  parallel_for(channels, 64, [&](int64_t begin, int64_t end) {
    double rows = 0.0;
    for (int64_t i = 0; i < lines.chunks(); ++i) {
      const int64_t chunk_rows = lines.chunk_elements(i) / channels;
      const auto more = static_cast<double>(chunk_rows);
      const double share = more / (rows + more);
      const double between = rows * share;
      const float* chunk_mean = partials + i * 3 * channels;
      const float* chunk_m2 = chunk_mean + channels;
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) {
        const double delta = double{chunk_mean[c]} - mean[c];
        mean[c] += delta * share;
        m2[c] += double{chunk_m2[c]} + delta * delta * between;
      }
      rows += more;
    }
  });
  return all;
}

/// Up to kMaskLanes elements of act(x * scale + shift + residual).
template <bool kStreamed, bool kResidual, bool kRelu, typename T>
void normalize_group(const T* x, const T* residual, const float* scale, const float* shift, T* y,
                     uint8_t* mask, int64_t lanes) {
  float v[kMaskLanes];
#pragma omp simd
  for (int64_t i = 0; i < lanes; ++i) v[i] = static_cast<float>(x[i]) * scale[i] + shift[i];
  if constexpr (kResidual) {
#pragma omp simd
    for (int64_t i = 0; i < lanes; ++i) v[i] += static_cast<float>(residual[i]);
  }
  if constexpr (kRelu) {
    if (mask != nullptr) store_bits(mask, relu_bits(v, lanes), lanes);
#pragma omp simd
    for (int64_t i = 0; i < lanes; ++i) v[i] = v[i] <= 0.0f ? 0.0f : v[i];  // NaN goes through
  }
  write<kStreamed, kMaskLanes>(y, lanes, [&](T* room) {
#pragma omp simd
    for (int64_t i = 0; i < lanes; ++i) store_rounded(room[i], v[i]);
  });
}

/// act(x * scale + shift + residual) with scale and shift spread over a line's lanes; the mask where asked.
template <bool kStreamed, bool kResidual, bool kRelu, typename T>
void normalize(const ChannelLines& lines, const T* x, const T* residual, const Tensor& scale_table,
               const Tensor& shift_table, T* y, uint8_t* mask) {
  const float* scale = scale_table.data<float>();
  const float* shift = shift_table.data<float>();
  parallel_for(lines.chunks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end; i-- > begin;) {  // backwards: what the statistics read last is still in the cache
      lines.each_line(i, [&](int64_t first, int64_t lanes) {
        int64_t j = 0;
        const auto group = [&](int64_t count) {
          const int64_t at = first + j;
          normalize_group<kStreamed, kResidual, kRelu>(x + at, kResidual ? residual + at : nullptr, scale + j,
                                                       shift + j, y + at,
                                                       mask == nullptr ? nullptr : mask + at / 8, count);
        };
        for (; j + kMaskLanes <= lanes; j += kMaskLanes) group(kMaskLanes);
        if (j < lanes) group(lanes - j);
      });
    }
    stream_fence();
  });
}

Tensor normalized(const ChannelLines& lines, const Tensor& x, const Tensor& residual, const Tensor& scale,
                  const Tensor& shift, bool relu, Tensor* mask) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  uint8_t* bits = mask == nullptr ? nullptr : mask->data<uint8_t>();
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const T* more = residual.defined() ? residual.data<T>() : nullptr;
    choose_streamed(is_streamed(static_cast<int64_t>(y.bytes())), [&]<typename Streamed>(Streamed) {
      constexpr bool kStreamed = Streamed::value;
      if (more != nullptr && relu)
        return normalize<kStreamed, true, true>(lines, in, more, scale, shift, out, bits);
      if (more != nullptr) return normalize<kStreamed, true, false>(lines, in, more, scale, shift, out, bits);
      if (relu) return normalize<kStreamed, false, true>(lines, in, more, scale, shift, out, bits);
      return normalize<kStreamed, false, false>(lines, in, more, scale, shift, out, bits);
    });
  });
  return y;
}

}  // namespace

Backend::BatchnormActForward CpuBackend::batchnorm_act_train(const BatchnormActArguments& arguments,
                                                             const BatchnormActOptions& options) {
  const Tensor& x = arguments.x;
  const ChannelLines lines(x);
  const int64_t channels = lines.channels;
  const Moments batch =
      dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) { return moments(x.data<T>(), lines); });

  BatchnormActForward result;
  result.mean = Tensor::empty({channels});
  result.inv_std = Tensor::empty({channels});
  Tensor running_mean = arguments.running_mean;
  Tensor running_var = arguments.running_var;
  float* mean = result.mean.data<float>();
  float* inv_std = result.inv_std.data<float>();
  float* old_mean = running_mean.data<float>();
  float* old_var = running_var.data<float>();
  Tensor batches = arguments.batches_tracked;
  if (batches.defined()) ++*batches.data<int64_t>();
  const double rows = static_cast<double>(lines.rows());
  const double momentum = double{options.momentum};
  for (int64_t c = 0; c < channels; ++c) {
    const size_t i = static_cast<size_t>(c);
    mean[c] = static_cast<float>(batch.mean[i]);
    inv_std[c] = static_cast<float>(1.0 / std::sqrt(batch.m2[i] / rows + double{options.epsilon}));
    old_mean[c] = static_cast<float>((1.0 - momentum) * old_mean[c] + momentum * batch.mean[i]);
    old_var[c] = static_cast<float>((1.0 - momentum) * old_var[c] + momentum * batch.m2[i] / (rows - 1.0));
  }
  const float* gamma = arguments.gamma.data<float>();
  const float* beta = arguments.beta.data<float>();
  const Tensor scale = lines.spread([&](int64_t c) { return gamma[c] * inv_std[c]; });
  const Tensor shift = lines.spread([&](int64_t c) {
    return double{beta[c]} - batch.mean[static_cast<size_t>(c)] * double{gamma[c] * inv_std[c]};
  });
  if (options.relu) result.mask = Tensor::empty({(lines.elements + 7) / 8}, DType::u8);
  result.y = normalized(lines, x, arguments.residual, scale, shift, options.relu,
                        options.relu ? &result.mask : nullptr);
  return result;
}

Tensor CpuBackend::batchnorm_act_eval(const BatchnormActArguments& arguments,
                                      const BatchnormActOptions& options) {
  const ChannelLines lines(arguments.x);
  const float* gamma = arguments.gamma.data<float>();
  const float* beta = arguments.beta.data<float>();
  const float* mean = arguments.running_mean.data<float>();
  const float* var = arguments.running_var.data<float>();
  const auto factor = [&](int64_t c) {
    return double{gamma[c]} / std::sqrt(double{var[c]} + double{options.epsilon});
  };
  const Tensor scale = lines.spread(factor);
  const Tensor shift = lines.spread([&](int64_t c) { return double{beta[c]} - double{mean[c]} * factor(c); });
  return normalized(lines, arguments.x, arguments.residual, scale, shift, options.relu, nullptr);
}

}  // namespace cytograd
