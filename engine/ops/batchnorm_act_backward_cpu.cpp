// With g = dy where the ReLU let through, xhat = (x - mean) * inv_std and means over the rows of a channel:
//   dbeta = sum g, dgamma = sum g xhat, dresidual = g, dx = gamma inv_std (g - mean(g) - xhat mean(g xhat)).
// Bound by memory: x and dy are read twice, dx and dresidual written once; of a dy in two parts each is read once, and
// their g once more.
#include <vector>

#include "engine/backend_cpu.h"
#include "engine/ops/batchnorm_act_cpu.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

/// g: dy where its bit is set, else 0.
template <bool kRelu>
float passed(float dy, uint32_t bits, int64_t i) {
  if constexpr (!kRelu) return dy;
  return (bits & (1u << i)) != 0 ? dy : 0.0f;
}

/// What becomes of g in the first pass.
enum class Keep : uint8_t { nothing, g, g_of_sum };  // the last: where dy comes in two parts

/// sum += g and product += g (x - mean) over up to kMaskLanes lanes; g is kept in dresidual where asked.
template <bool kRelu, Keep kKeep, typename T>
void add_group(const T* dy, const T* more, const T* x, const uint8_t* mask, const float* mean, float* sum,
               float* product, T* dresidual, int64_t lanes) {
  uint32_t bits = 0;
  if constexpr (kRelu) bits = load_bits(mask, lanes);
#pragma omp simd
  for (int64_t i = 0; i < lanes; ++i) {
    float of_y = static_cast<float>(dy[i]);
    if constexpr (kKeep == Keep::g_of_sum) of_y = static_cast<float>(T(of_y + static_cast<float>(more[i])));
    const float g = passed<kRelu>(of_y, bits, i);
    sum[i] += g;
    product[i] += g * (static_cast<float>(x[i]) - mean[i]);
    if constexpr (kKeep != Keep::nothing) store_rounded(dresidual[i], g);
  }
}

template <typename T>
struct Pass {
  const T* dy;
  const T* more;  // or null: of the first pass
  const T* x;
  const uint8_t* mask;
  T* out;  // dresidual or null in the first pass, dx in the second
};

/// sums [2, C] of a chunk: g and g (x - mean).
template <bool kRelu, Keep kKeep, typename T>
void chunk_sums(const Pass<T>& pass, int64_t begin, int64_t end, const ChannelLines& lines, const float* mean,
                float* sums) {
  std::fill_n(sums, 2 * lines.channels, 0.0f);
  for (int64_t block = 0; block < lines.width; block += ChannelLines::kBlock) {
    const int64_t width = std::min(ChannelLines::kBlock, lines.width - block);
    float sum[ChannelLines::kBlock];
    float product[ChannelLines::kBlock];
    std::fill_n(sum, width, 0.0f);
    std::fill_n(product, width, 0.0f);
    for (int64_t first = begin + block; first < end; first += lines.width) {
      const int64_t lanes = std::min(width, end - first);
      int64_t j = 0;
      const auto group = [&](int64_t count) {
        const int64_t at = first + j;
        add_group<kRelu, kKeep>(pass.dy + at, kKeep == Keep::g_of_sum ? pass.more + at : nullptr, pass.x + at,
                                kRelu ? pass.mask + at / 8 : nullptr, mean + block + j, sum + j, product + j,
                                kKeep == Keep::nothing ? nullptr : pass.out + at, count);
      };
      for (; j + kMaskLanes <= lanes; j += kMaskLanes) group(kMaskLanes);
      if (j < lanes) group(lanes - j);
    }
    lines.fold(sum, block, width, sums);
    lines.fold(product, block, width, sums + lines.channels);
  }
}

template <bool kRelu, Keep kKeep, typename T>
void all_sums(const Pass<T>& pass, const ChannelLines& lines, const Tensor& mean,
              std::vector<double>& totals) {
  const int64_t count = 2 * lines.channels;
  Tensor partial = Tensor::empty({lines.chunks(), count});
  float* partials = partial.data<float>();
  const float* means = mean.data<float>();
  parallel_for(lines.chunks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * lines.chunk;
      chunk_sums<kRelu, kKeep>(pass, first, first + lines.chunk_elements(i), lines, means,
                               partials + i * count);
    }
  });
  double* sums = totals.data();
  parallel_for(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < lines.chunks(); ++i) {
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) sums[c] += double{partials[i * count + c]};
    }
  });
}

/// dx = scale g + slope (x - mean) + shift, each a table over a line's lanes.
struct InputGradientTables {
  Tensor mean;
  Tensor scale;
  Tensor slope;
  Tensor shift;
};

template <bool kStreamed, bool kRelu, typename T>
void input_group(const T* dy, const T* x, const uint8_t* mask, const float* mean, const float* scale,
                 const float* slope, const float* shift, T* dx, int64_t lanes) {
  uint32_t bits = 0;
  if constexpr (kRelu) bits = load_bits(mask, lanes);
  write<kStreamed, kMaskLanes>(dx, lanes, [&](T* room) {
#pragma omp simd
    for (int64_t i = 0; i < lanes; ++i) {
      const float g = passed<kRelu>(static_cast<float>(dy[i]), bits, i);
      store_rounded(room[i], g * scale[i] + ((static_cast<float>(x[i]) - mean[i]) * slope[i] + shift[i]));
    }
  });
}

template <bool kStreamed, bool kRelu, typename T>
void input_gradient(const Pass<T>& pass, const ChannelLines& lines, const InputGradientTables& tables) {
  const float* mean = tables.mean.data<float>();
  const float* scale = tables.scale.data<float>();
  const float* slope = tables.slope.data<float>();
  const float* shift = tables.shift.data<float>();
  parallel_for(lines.chunks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end; i-- > begin;) {  // backwards: what the first pass read last is still in the cache
      lines.each_line(i, [&](int64_t first, int64_t lanes) {
        int64_t j = 0;
        const auto group = [&](int64_t count) {
          const int64_t at = first + j;
          input_group<kStreamed, kRelu>(pass.dy + at, pass.x + at, kRelu ? pass.mask + at / 8 : nullptr,
                                        mean + j, scale + j, slope + j, shift + j, pass.out + at, count);
        };
        for (; j + kMaskLanes <= lanes; j += kMaskLanes) group(kMaskLanes);
        if (j < lanes) group(lanes - j);
      });
    }
    stream_fence();
  });
}

}  // namespace

Backend::BatchnormActBackward CpuBackend::batchnorm_act_backward(const Tensor& dy, const Tensor& more,
                                                                 const BatchnormActSaved& saved) {
  const Tensor& x = saved.x;
  const ChannelLines lines(x);
  const int64_t channels = lines.channels;
  const bool relu = saved.mask.defined();
  const float* mean = saved.mean.data<float>();
  const float* inv_std = saved.inv_std.data<float>();
  const float* gamma = saved.gamma.data<float>();
  InputGradientTables tables;
  tables.mean = lines.spread([&](int64_t c) { return mean[c]; });

  BatchnormActBackward result;
  result.dx = Tensor::empty(x.shape(), x.dtype());
  result.dgamma = Tensor::empty({channels});
  result.dbeta = Tensor::empty({channels});
  // The first pass writes g; the second reads it in place of dy and the mask. Without a ReLU g is dy.
  const bool store = saved.masks_residual();
  if (saved.has_residual) result.dresidual = store ? Tensor::empty(x.shape(), x.dtype()) : dy;

  std::vector<double> sums(static_cast<size_t>(2 * channels));  // of g, then of g (x - mean)
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) {
    Pass<T> pass{dy.data<T>(), nullptr, x.data<T>(), nullptr, nullptr};
    if (relu) pass.mask = saved.mask.data<uint8_t>();
    if (store) pass.out = result.dresidual.data<T>();
    if (more.defined()) {
      pass.more = more.data<T>();
      all_sums<true, Keep::g_of_sum>(pass, lines, tables.mean, sums);
    } else if (store) {
      all_sums<true, Keep::g>(pass, lines, tables.mean, sums);
    } else if (relu) {
      all_sums<true, Keep::nothing>(pass, lines, tables.mean, sums);
    } else {
      all_sums<false, Keep::nothing>(pass, lines, tables.mean, sums);
    }
  });

  float* dgamma = result.dgamma.data<float>();
  float* dbeta = result.dbeta.data<float>();
  const double rows = static_cast<double>(lines.rows());
  const auto sum = [&](int64_t c) { return sums[static_cast<size_t>(c)]; };
  const auto product = [&](int64_t c) { return sums[static_cast<size_t>(channels + c)]; };
  for (int64_t c = 0; c < channels; ++c) {
    dbeta[c] = static_cast<float>(sum(c));
    dgamma[c] = static_cast<float>(product(c) * inv_std[c]);
  }
  const auto scale = [&](int64_t c) { return double{gamma[c]} * double{inv_std[c]}; };
  tables.scale = lines.spread(scale);
  tables.slope = lines.spread(
      [&](int64_t c) { return -scale(c) * double{inv_std[c]} * double{inv_std[c]} * product(c) / rows; });
  tables.shift = lines.spread([&](int64_t c) { return -scale(c) * sum(c) / rows; });
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) {
    Pass<T> pass{dy.data<T>(), nullptr, x.data<T>(), nullptr, result.dx.data<T>()};
    const bool masked = relu && !store;
    if (store) pass.dy = result.dresidual.data<T>();
    if (masked) pass.mask = saved.mask.data<uint8_t>();
    choose_streamed(is_streamed(static_cast<int64_t>(result.dx.bytes())), [&]<typename Streamed>(Streamed) {
      if (masked) return input_gradient<Streamed::value, true>(pass, lines, tables);
      input_gradient<Streamed::value, false>(pass, lines, tables);
    });
  });
  return result;
}

}  // namespace cytograd
