// Training takes three kernels, where batchnorm_act_small.h's one cannot keep all rows:
// 1. moments: mean and M2 = sum (x - mean)^2 of each block's rows. A thread sums d and d^2 about its own first row, so
//    that with n rows M2 >= (first - mean)^2 and the subtraction sum d^2 - (sum d)^2 / n loses a factor n of f32's
//    precision at most, whatever the data; n is tens to hundreds. They merge as Chan, Golub, LeVeque, "Updating
//    formulae and a pairwise algorithm for computing sample variances" (1979), each mean kept as the distance from its
//    thread's first row.
// 2. finish: the blocks' moments to mean and 1 / sqrt(variance + epsilon), in f64; running statistics.
// 3. normalize: y = act((x - mean) * (gamma * inv_std) + beta + residual). Evaluation is this kernel alone.
// Bytes an element: x read twice, residual once, y written once, 1/8 for the mask. With residual and ReLU 16.1 in f32,
// 8.1 in 16 bits; at 4.3 TB/s, 267 and 529 billion elements a second. Evaluation 12 and 6: 358 and 717 billion.
// An H200 at 632b5f2, in shares of a copy: 0.83 to 0.96 in f32, 0.72 to 0.94 in bf16, from 51 to 268 million elements.
#include "kernels/batchnorm_act.cuh"
#include "kernels/batchnorm_act_small.h"

namespace cytograd {
namespace {

struct MomentsShared {
  float count[kChannelBlock];
  float shift[kEight][kChannelBlock];
  float mean[kEight][kChannelBlock];  // less the shift
  float m2[kEight][kChannelBlock];
};

/// Merges what the block's threads found, downwards; threads with threadIdx.y == 0 then hold it all.
__device__ __forceinline__ void merge_down(float& n, const float (&shift)[kEight], float (&mean)[kEight],
                                           float (&m2)[kEight], MomentsShared& shared) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  shared.count[thread] = n;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    shared.shift[i][thread] = shift[i];
    shared.mean[i][thread] = mean[i];
    shared.m2[i][thread] = m2[i];
  }
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    const unsigned other = thread + half * blockDim.x;
    if (threadIdx.y >= half || shared.count[other] == 0.0f) continue;
    const float more = shared.count[other];
    const float share = more / (n + more);
    const float between = n * share;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float delta = (shared.shift[i][other] - shift[i]) + (shared.mean[i][other] - mean[i]);
      mean[i] = fmaf(delta, share, mean[i]);
      m2[i] += fmaf(delta * delta, between, shared.m2[i][other]);
    }
    n += more;
    shared.count[thread] = n;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      shared.mean[i][thread] = mean[i];
      shared.m2[i][thread] = m2[i];
    }
  }
}

/// Partials: f32 [gridDim.y, 2, C], mean and M2, then [gridDim.y], rows.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 4)
    moments_kernel(const T* x, float* partials, int64_t rows, int64_t channels) {
  constexpr int kRows = kRowsInFlight<T, kPacked>;
  const ChannelWalk walk(rows, channels);
  float n = 0.0f;
  float shift[kEight] = {}, mean[kEight] = {}, m2[kEight] = {};
  for (int64_t first = walk.first; first < walk.end; first += kRows * walk.stride) {
    Eight<T> v[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      v[k] = walk.has(first, k) ? load_eight<kPacked>(x + first + k * walk.stride, walk.count) : Eight<T>{};
    }
#pragma unroll
    for (int i = 0; i < kEight; ++i) shift[i] = n == 0.0f ? v[0][i] : shift[i];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (!walk.has(first, k)) break;
      n += 1.0f;
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        const float d = v[k][i] - shift[i];
        mean[i] += d;
        m2[i] = fmaf(d, d, m2[i]);
      }
    }
  }
  const float share = 1.0f / n;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    const float sum = mean[i];
    mean[i] = sum * share;
    const float left = fmaf(-mean[i], sum, m2[i]);
    m2[i] = left < 0.0f ? 0.0f : left;  // NaN stays
  }
  merge_down(n, shift, mean, m2, block_shared<MomentsShared>());
  if (threadIdx.y != 0) return;
  if (walk.channel == 0) partials[2 * gridDim.y * channels + blockIdx.y] = n;
  float* out = partials + 2 * blockIdx.y * channels + walk.channel;
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    if (i >= walk.count) break;
    out[i] = shift[i] + mean[i];
    out[channels + i] = m2[i];
  }
}

__global__ void __launch_bounds__(kChannelBlock, 1)
    finish_moments_kernel(BatchnormActTrainArguments arguments, int64_t splits) {
  const int64_t channels = arguments.channels;
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const float* counts = arguments.workspace + 2 * splits * channels;
  const bool live = c < channels;
  double sums[2] = {};  // of n d and of M2 + n d^2, d a block's mean less the first block's
  double shift = 0.0;
  if (live) {
    const float* mean = arguments.workspace + c;
    shift = static_cast<double>(mean[0]);
    struct Moments {
      float n, mean, m2;
    };
    each_partial(
        splits,
        [&](int64_t i, bool there) {
          return Moments{there ? counts[i] : 0.0f, there ? mean[2 * i * channels] : 0.0f,
                         there ? mean[(2 * i + 1) * channels] : 0.0f};
        },
        [&](const Moments& block) {
          const double d = static_cast<double>(block.mean) - shift;
          const double nd = static_cast<double>(block.n) * d;
          sums[0] += nd;
          sums[1] += static_cast<double>(block.m2) + nd * d;
        });
  }
  sum_down(sums, block_shared<FinishShared>().sums);
  if (threadIdx.y != 0 || !live) return;
  const double rows = static_cast<double>(arguments.rows);
  const double mean = shift + sums[0] / rows;
  const double variance = variance_of(sums[1] - sums[0] * sums[0] / rows, arguments.rows);
  write_moments(arguments, c, mean, variance, inv_std_of(variance, arguments.epsilon));
}

struct Normalize {
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* inv_std;  // null: from the variance
  const float* variance;
  float epsilon;
  bool relu;
  uint8_t* mask;  // null: not wanted
  int64_t rows;
  int64_t channels;
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock, 3)
    normalize_kernel(const T* x, const T* residual, T* y, Normalize arguments) {
  constexpr int kRows = kPairsInFlight<T, kPacked>;
  const ChannelWalk walk(arguments.rows, arguments.channels);
  if (walk.count <= 0) return;
  const auto parameter = [&](const float* p) { return load_eight<kPacked>(p + walk.channel, walk.count); };
  const Eight<float> mean = parameter(arguments.mean);
  const Eight<float> beta = parameter(arguments.beta);
  const Eight<float> gamma = parameter(arguments.gamma);
  const bool given = arguments.inv_std != nullptr;
  const Eight<float> spread = parameter(given ? arguments.inv_std : arguments.variance);
  float scale[kEight];
#pragma unroll
  for (int i = 0; i < kEight; ++i)
    scale[i] = gamma[i] * (given ? spread[i] : rsqrtf(spread[i] + arguments.epsilon));

  for (int64_t first = walk.first; first < walk.end; first += kRows * walk.stride) {
    Eight<T> v[kRows], more[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = walk.mirrored(first + k * walk.stride);
      const bool live = walk.has(first, k);
      v[k] = live ? load_eight<kPacked>(x + at, walk.count) : Eight<T>{};
      more[k] = live && residual != nullptr ? load_eight<kPacked>(residual + at, walk.count) : Eight<T>{};
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (!walk.has(first, k)) break;
      const int64_t at = walk.mirrored(first + k * walk.stride);
      const uint8_t bits = normalize(v[k], more[k], mean, scale, beta, arguments.relu);
      store_eight<kPacked>(y + at, v[k], walk.count);
      if (arguments.mask != nullptr) arguments.mask[mask_byte<kPacked>(at, arguments.channels)] = bits;
    }
  }
}

struct NormalizeTensors {
  const void* x;
  const void* residual;
  void* y;
  ElementType type;
};

void launch_normalize(const NormalizeTensors& tensors, const Normalize& arguments, device::Stream stream) {
  const bool packed = packed_channels(
      arguments.channels, {tensors.x, tensors.residual, tensors.y, arguments.gamma, arguments.beta,
                           arguments.mean, arguments.inv_std, arguments.variance});
  dispatch_channels(tensors.type, packed, [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
    const ChannelGrid grid = apply_grid(arguments.rows, arguments.channels);
    launch("batchnorm_act_normalize", normalize_kernel<T, Packed::value>,
           {.grid = grid.grid, .block = grid.block, .stream = stream}, static_cast<const T*>(tensors.x),
           static_cast<const T*>(tensors.residual), static_cast<T*>(tensors.y), arguments);
  });
}

}  // namespace

int64_t batchnorm_act_workspace(int64_t rows, int64_t channels, int64_t splits) {
  const int64_t parts = batchnorm_act_reduce_grid(rows, channels, splits).grid.y;
  return 2 * parts * channels +
         std::max(parts, 3 * channels);  // forward the rows of each, backward coefficients
}

int64_t batchnorm_act_mask_bytes(int64_t rows, int64_t channels) {
  return rows * ((channels + kEight - 1) / kEight);
}

void launch_batchnorm_act_train(const BatchnormActTrainArguments& arguments, device::Stream stream) {
  const int64_t rows = arguments.rows, channels = arguments.channels;
  if (rows * channels == 0) return;
  if (arguments.splits == 0 && batchnorm_act_is_small(rows, arguments.type))
    return launch_batchnorm_act_small_train(arguments, stream);
  const ChannelGrid grid = batchnorm_act_reduce_grid(rows, channels, arguments.splits);
  dispatch_channels(arguments.type, packed_channels(channels, {arguments.x}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      launch("batchnorm_act_moments", moments_kernel<T, Packed::value>,
                             {.grid = grid.grid, .block = grid.block, .stream = stream},
                             static_cast<const T*>(arguments.x), arguments.workspace, rows, channels);
                    });
  const ChannelGrid finish = finish_grid(channels);
  launch("batchnorm_act_finish_moments", finish_moments_kernel,
         {.grid = finish.grid, .block = finish.block, .stream = stream}, arguments, int64_t{grid.grid.y});
  launch_normalize({arguments.x, arguments.residual, arguments.y, arguments.type},
                   {.gamma = arguments.gamma,
                    .beta = arguments.beta,
                    .mean = arguments.mean,
                    .inv_std = arguments.inv_std,
                    .variance = nullptr,
                    .epsilon = 0.0f,
                    .relu = arguments.mask != nullptr,
                    .mask = arguments.mask,
                    .rows = rows,
                    .channels = channels},
                   stream);
}

void launch_batchnorm_act_eval(const BatchnormActEvalArguments& arguments, device::Stream stream) {
  if (arguments.rows * arguments.channels == 0) return;
  launch_normalize({arguments.x, arguments.residual, arguments.y, arguments.type},
                   {.gamma = arguments.gamma,
                    .beta = arguments.beta,
                    .mean = arguments.mean,
                    .inv_std = nullptr,
                    .variance = arguments.variance,
                    .epsilon = arguments.epsilon,
                    .relu = arguments.relu,
                    .mask = nullptr,
                    .rows = arguments.rows,
                    .channels = arguments.channels},
                   stream);
}

}  // namespace cytograd
