// The way to kernels/batchnorm_act.cu, a step a variant. All three read x three times: for the mean, for the variance,
// for the result; production reads it twice.
#include "bench/lab/variant.h"
#include "kernels/batchnorm_act.h"
#include "kernels/channels.cuh"

namespace cytograd::bench {
namespace {

struct SumShared {
  float scratch[kEight][kChannelBlock];
};

/// Sums over the block's rows, for all of its threads.
__device__ __forceinline__ void sum_rows(float (&v)[kEight]) {
  auto& shared = block_shared<SumShared>();
  sum_down(v, shared.scratch);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kEight; ++i) v[i] = shared.scratch[i][threadIdx.x];
  __syncthreads();
}

/// One block over all rows of its channels.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kChannelBlock) train_kernel(BatchnormActTrainArguments arguments) {
  const ChannelWalk walk(arguments.rows, arguments.channels);
  const T* x = static_cast<const T*>(arguments.x);
  const T* residual = static_cast<const T*>(arguments.residual);
  T* y = static_cast<T*>(arguments.y);
  const auto rows = static_cast<float>(arguments.rows);
  float mean[kEight] = {}, variance[kEight] = {};
  for (int64_t at = walk.first; at < walk.end; at += walk.stride) {
    const Eight<T> v = load_eight<kPacked>(x + at, walk.count);
#pragma unroll
    for (int i = 0; i < kEight; ++i) mean[i] += v[i];
  }
  sum_rows(mean);
#pragma unroll
  for (int i = 0; i < kEight; ++i) mean[i] /= rows;
  for (int64_t at = walk.first; at < walk.end; at += walk.stride) {
    const Eight<T> v = load_eight<kPacked>(x + at, walk.count);
#pragma unroll
    for (int i = 0; i < kEight; ++i) variance[i] = fmaf(v[i] - mean[i], v[i] - mean[i], variance[i]);
  }
  sum_rows(variance);
  float inv_std[kEight], gamma[kEight] = {}, beta[kEight] = {};
#pragma unroll
  for (int i = 0; i < kEight; ++i) {
    inv_std[i] = rsqrtf(variance[i] / rows + arguments.epsilon);
    if (i >= walk.count) continue;
    const int64_t c = walk.channel + i;
    gamma[i] = arguments.gamma[c];
    beta[i] = arguments.beta[c];
    if (threadIdx.y != 0) continue;
    arguments.mean[c] = mean[i];
    arguments.inv_std[c] = inv_std[i];
    const float momentum = arguments.momentum;
    arguments.running_mean[c] = (1.0f - momentum) * arguments.running_mean[c] + momentum * mean[i];
    arguments.running_var[c] =
        (1.0f - momentum) * arguments.running_var[c] + momentum * variance[i] / (rows - 1.0f);
    if (c == 0 && arguments.batches_tracked != nullptr) ++*arguments.batches_tracked;
  }
  for (int64_t at = walk.first; at < walk.end; at += walk.stride) {
    Eight<T> v = load_eight<kPacked>(x + at, walk.count);
    const Eight<T> more = residual != nullptr ? load_eight<kPacked>(residual + at, walk.count) : Eight<T>{};
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float value = fmaf((v[i] - mean[i]) * inv_std[i], gamma[i], beta[i]) + more[i];
      const bool off = arguments.mask != nullptr && value <= 0.0f;
      bits |= (off ? 0u : 1u) << i;
      v.set(i, T(off ? 0.0f : value));
    }
    store_eight<kPacked>(y + at, v, walk.count);
    if (arguments.mask != nullptr)
      arguments.mask[mask_byte<kPacked>(at, arguments.channels)] = static_cast<uint8_t>(bits);
  }
}

/// Blocks of `across` threads side by side, on eight channels each.
void launch_train(const char* name, unsigned across, bool may_pack,
                  const BatchnormActTrainArguments& arguments, device::Stream stream) {
  if (arguments.rows * arguments.channels == 0) return;
  const int64_t eights = (arguments.channels + kEight - 1) / kEight;
  const bool packed =
      may_pack && packed_channels(arguments.channels, {arguments.x, arguments.residual, arguments.y});
  dispatch_channels(arguments.type, packed, [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
    launch(name, train_kernel<T, Packed::value>,
           {.grid = {static_cast<unsigned>((eights + across - 1) / across)},
            .block = {across, kChannelBlock / across},
            .stream = stream},
           arguments);
  });
}

void launch_naive(const BatchnormActTrainArguments& arguments, device::Stream stream) {
  launch_train("batchnorm_act_naive", 1, false, arguments, stream);
}
void launch_across(const BatchnormActTrainArguments& arguments, device::Stream stream) {
  launch_train("batchnorm_act_across", 8, false, arguments, stream);
}
void launch_packs(const BatchnormActTrainArguments& arguments, device::Stream stream) {
  launch_train("batchnorm_act_packs", 8, true, arguments, stream);
}

const AddVariant<BatchnormActTrainArguments> naive("naive",
                                                   "a block has eight channels, its threads a row each",
                                                   launch_naive);
const AddVariant<BatchnormActTrainArguments> across("across",
                                                    "eight threads side by side: a row's reads touch",
                                                    launch_across);
const AddVariant<BatchnormActTrainArguments> packs("packs", "accesses of 16 bytes", launch_packs);
// production: many blocks share the rows of a channel, and the variance comes out of the same pass as the mean.

}  // namespace
}  // namespace cytograd::bench
