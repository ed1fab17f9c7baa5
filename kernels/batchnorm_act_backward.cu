// With g = dy where the ReLU let through, xhat = (x - mean) * inv_std and means over the rows of a channel:
//   dbeta = sum g, dgamma = sum g xhat, dresidual = g, dx = gamma inv_std (g - mean(g) - xhat mean(g xhat)).
// Training takes three kernels, where batchnorm_act_small.h's one cannot keep all rows: sums of g and g (x - mean) of
// each block's rows, in f32; all blocks' sums in f64, to dgamma, dbeta and the coefficients of
// dx = scale g + slope (x - mean) + shift; dx and dresidual.
// Bytes an element: x, dy and the mask read twice, dx and dresidual written once. With residual and ReLU 24.3 in f32,
// 12.3 in 16 bits; at 4.3 TB/s, 177 and 351 billion elements a second. Where dy comes in two parts the first kernel
// writes g, which is dresidual, and the third reads it: 28.1 and 14.1 bytes, where a sum made before takes 36.3 and
// 18.3.
// An H200 at 632b5f2, in shares of a copy: 0.87 to 0.98 in f32, 0.84 to 0.96 in bf16, from 51 to 268 million elements.
#include "kernels/batchnorm_act.cuh"
#include "kernels/batchnorm_act_small.h"

namespace cytograd {
namespace {

/// What the sums read: dy in one part, or in two, whose g is then kept.
template <typename T>
struct OutputGradient {
  const T* dy;
  const T* more;
  T* g;
};

struct SumsShared {
  float sums[2 * kEight][kChannelBlock];
};

/// workspace: f32 [gridDim.y, 2, C], sums of g and of g (x - mean).
template <typename T, bool kPacked, bool kTwoParts>
__global__ void __launch_bounds__(kChannelBlock, kTwoParts && !kPacked ? 3 : 4)
    backward_sums_kernel(OutputGradient<T> gradient, const T* x, BatchnormActBackwardArguments arguments) {
  constexpr int kRows = kTwoParts ? 1 : kPairsInFlight<T, kPacked>;  // by the registers
  const int64_t channels = arguments.channels;
  const ChannelWalk walk(arguments.rows, channels);
  Eight<float> mean{};
  if (walk.count > 0) mean = load_eight<kPacked>(arguments.mean + walk.channel, walk.count);
  float sums[2 * kEight] = {};
  for (int64_t first = walk.first; first < walk.end; first += kRows * walk.stride) {
    Eight<T> g[kRows], more[kRows], v[kRows];
    unsigned bits[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = first + k * walk.stride;
      const bool live = walk.has(first, k);
      g[k] = live ? load_eight<kPacked>(gradient.dy + at, walk.count) : Eight<T>{};
      if constexpr (kTwoParts)
        more[k] = live ? load_eight<kPacked>(gradient.more + at, walk.count) : Eight<T>{};
      v[k] = live ? load_eight<kPacked>(x + at, walk.count) : Eight<T>{};
      bits[k] = live && arguments.mask != nullptr ? arguments.mask[mask_byte<kPacked>(at, channels)] : 0xffu;
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        if constexpr (kTwoParts) g[k].set(i, T(g[k][i] + more[k][i]));
        const float passes = passed(g[k], bits[k], i);
        if constexpr (kTwoParts) g[k].set(i, T(passes));
        sums[i] += passes;
        sums[kEight + i] = fmaf(passes, v[k][i] - mean[i], sums[kEight + i]);
      }
      if (kTwoParts && walk.has(first, k))
        store_eight<kPacked>(gradient.g + first + k * walk.stride, g[k], walk.count);
    }
  }
  sum_down(sums, block_shared<SumsShared>().sums);
  if (threadIdx.y != 0) return;
  float* out = arguments.workspace + 2 * blockIdx.y * channels + walk.channel;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    if (i >= walk.count) break;
    out[i] = sums[i];
    out[channels + i] = sums[kEight + i];
  }
}

/// coefficients: f32 [3, C], scale, slope and shift.
__global__ void __launch_bounds__(kChannelBlock, 1)
    finish_sums_kernel(BatchnormActBackwardArguments arguments, float* coefficients, int64_t splits) {
  const int64_t channels = arguments.channels;
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const bool live = c < channels;
  double sums[2] = {};
  if (live) {
    const float* partial = arguments.workspace + c;
    struct Sums {
      float g, product;
    };
    each_partial(
        splits,
        [&](int64_t i, bool there) {
          return Sums{there ? partial[2 * i * channels] : 0.0f,
                      there ? partial[(2 * i + 1) * channels] : 0.0f};
        },
        [&](const Sums& block) {
          sums[0] += static_cast<double>(block.g);
          sums[1] += static_cast<double>(block.product);
        });
  }
  sum_down(sums, block_shared<FinishShared>().sums);
  if (threadIdx.y != 0 || !live) return;
  const InputGradientCoefficients of_channel =
      write_sums(arguments, c, sums[0], sums[1], arguments.gamma[c], arguments.inv_std[c]);
  coefficients[c] = of_channel.scale;
  coefficients[channels + c] = of_channel.slope;
  coefficients[2 * channels + c] = of_channel.shift;
}

template <typename T>
struct InputGradient {
  const T* dy;
  const T* x;
  T* dx;
  T* dresidual;  // null: not wanted
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 3)
    input_gradient_kernel(InputGradient<T> tensors, const float* coefficients,
                          BatchnormActBackwardArguments arguments) {
  constexpr int kRows = kPairsInFlight<T, kPacked>;
  const int64_t channels = arguments.channels;
  const ChannelWalk walk(arguments.rows, channels);
  if (walk.count <= 0) return;
  const auto parameter = [&](const float* p) { return load_eight<kPacked>(p + walk.channel, walk.count); };
  const Eight<float> mean = parameter(arguments.mean);
  const Eight<float> scale = parameter(coefficients);
  const Eight<float> slope = parameter(coefficients + channels);
  const Eight<float> shift = parameter(coefficients + 2 * channels);
  for (int64_t first = walk.first; first < walk.end; first += kRows * walk.stride) {
    Eight<T> g[kRows], v[kRows];
    unsigned bits[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const bool live = walk.has(first, k);
      const int64_t at = walk.mirrored(first + k * walk.stride);
      g[k] = live ? load_eight<kPacked>(tensors.dy + at, walk.count) : Eight<T>{};
      v[k] = live ? load_eight<kPacked>(tensors.x + at, walk.count) : Eight<T>{};
      bits[k] = live && arguments.mask != nullptr ? arguments.mask[mask_byte<kPacked>(at, channels)] : 0xffu;
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (!walk.has(first, k)) break;
      const int64_t at = walk.mirrored(first + k * walk.stride);
      Eight<T> passes{};
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        const float value = passed(g[k], bits[k], i);
        passes.set(i, T(value));
        v[k].set(i, T(fmaf(value, scale[i], fmaf(v[k][i] - mean[i], slope[i], shift[i]))));
      }
      store_eight<kPacked>(tensors.dx + at, v[k], walk.count);
      if (tensors.dresidual != nullptr) store_eight<kPacked>(tensors.dresidual + at, passes, walk.count);
    }
  }
}

}  // namespace

void launch_batchnorm_act_backward(const BatchnormActBackwardArguments& arguments, device::Stream stream) {
  const int64_t rows = arguments.rows, channels = arguments.channels;
  if (rows * channels == 0) return;
  if (arguments.splits == 0 && batchnorm_act_is_small(rows, arguments.type))
    return launch_batchnorm_act_small_backward(arguments, stream);
  const ChannelGrid sums = batchnorm_act_reduce_grid(rows, channels, arguments.splits);
  const ChannelGrid finish = finish_grid(channels);
  const ChannelGrid apply = apply_grid(rows, channels);
  const int64_t splits = sums.grid.y;
  float* coefficients = arguments.workspace + 2 * splits * channels;
  const bool packed = packed_channels(channels, {arguments.dy, arguments.more, arguments.x, arguments.dx,
                                                 arguments.dresidual, arguments.mean, arguments.workspace});
  dispatch_channels(arguments.type, packed, [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
    const OutputGradient<T> gradient{static_cast<const T*>(arguments.dy),
                                     static_cast<const T*>(arguments.more),
                                     static_cast<T*>(arguments.dresidual)};
    InputGradient<T> tensors{gradient.dy, static_cast<const T*>(arguments.x), static_cast<T*>(arguments.dx),
                             gradient.g};
    BatchnormActBackwardArguments of_input = arguments;
    const bool two_parts = gradient.more != nullptr;
    if (two_parts) {
      tensors.dy = gradient.g;
      tensors.dresidual = nullptr;
      of_input.mask = nullptr;
    }
    launch("batchnorm_act_backward_sums",
           two_parts ? backward_sums_kernel<T, Packed::value, true>
                     : backward_sums_kernel<T, Packed::value, false>,
           {.grid = sums.grid, .block = sums.block, .stream = stream}, gradient, tensors.x, arguments);
    launch("batchnorm_act_finish_sums", finish_sums_kernel,
           {.grid = finish.grid, .block = finish.block, .stream = stream}, arguments, coefficients, splits);
    launch("batchnorm_act_input_gradient", input_gradient_kernel<T, Packed::value>,
           {.grid = apply.grid, .block = apply.block, .stream = stream}, tensors, coefficients, of_input);
  });
}

}  // namespace cytograd
