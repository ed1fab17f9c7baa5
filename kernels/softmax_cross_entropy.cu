// For row i with label t, p = softmax(z), W = sum_i w_t(i), smoothing s, K classes (formulas: the CPU's
// engine/ops/softmax_cross_entropy_cpu.cpp):
//   loss = (sum_i (1 - s) w_t (-log p_t) + s / K sum_c w_c (-log p_c)) / W
//   d loss / d z_c = ((1 - s) w_t (p_c - [c = t]) + s / K (p_c sum_k w_k - w_c)) / W
//
// A block a row: z is read three times (maximum; sums; gradient), the last two from the caches. 8 bytes an element in
// f32: at 4.3 TB/s, 538 billion logits a second; a batch of 64 rows of 1,139 is bound by its two launches instead.
// Sums run over a row in f64: they are few, and large logits cancel.
#include "kernels/device.cuh"
#include "kernels/softmax_cross_entropy.h"

namespace cytograd {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;

struct Scratch {
  float maxima[kWarps];
  double sums[4][kWarps];
};

/// The largest of the row, in every thread.
template <typename T>
__device__ float row_max(const T* z, int64_t classes, Scratch& scratch) {
  float max = -INFINITY;
  bool nan = false;  // fmaxf would drop it
  for (int64_t c = threadIdx.x; c < classes; c += kBlock) {
    const float v = static_cast<float>(z[c]);
    max = fmaxf(max, v);
    nan = nan || v != v;
  }
  max = warp_max(max);
  if (threadIdx.x % kWarp == 0) scratch.maxima[threadIdx.x / kWarp] = max;
  nan = __syncthreads_or(nan) != 0;
  for (int w = 0; w < kWarps; ++w) max = fmaxf(max, scratch.maxima[w]);
  return nan ? NAN : max;
}

__device__ double weight(const float* weights, int64_t c) {
  return weights == nullptr ? 1.0 : static_cast<double>(weights[c]);
}

template <typename T>
__global__ void __launch_bounds__(kBlock)
    softmax_cross_entropy_kernel(const T* logits, SoftmaxCrossEntropyArguments arguments) {
  Scratch& scratch = block_shared<Scratch>();
  const int64_t classes = arguments.classes;
  const double smoothing = static_cast<double>(arguments.label_smoothing);
  for (int64_t row = blockIdx.x; row < arguments.rows; row += gridDim.x) {
    const T* z = logits + row * classes;
    const float max = row_max(z, classes, scratch);

    double exponentials = 0.0, weights = 0.0, weighted = 0.0;  // sum_c exp(z_c - max), w_c, w_c (z_c - max)
    for (int64_t c = threadIdx.x; c < classes; c += kBlock) {
      const float d = static_cast<float>(z[c]) - max;
      const double w = weight(arguments.class_weights, c);
      exponentials += static_cast<double>(expf(d));
      weights += w;
      weighted += w * static_cast<double>(d);
    }
    double batch_weight = 0.0;  // W, summed anew by each block: a launch less
    for (int64_t i = threadIdx.x; i < arguments.rows; i += kBlock) {
      const int64_t label = arguments.labels[i];
      batch_weight += label < 0 || label >= classes ? NAN : weight(arguments.class_weights, label);
    }
    exponentials = block_sum(exponentials, scratch.sums[0]);
    weights = block_sum(weights, scratch.sums[1]);
    weighted = block_sum(weighted, scratch.sums[2]);
    batch_weight = block_sum(batch_weight, scratch.sums[3]);

    int64_t label = arguments.labels[row];
    if (label < 0 || label >= classes) label = 0;
    const double hard = (1.0 - smoothing) * weight(arguments.class_weights, label);
    const double soft = smoothing / static_cast<double>(classes);
    if (threadIdx.x == 0) {
      const double log_sum = log(exponentials);
      const double own = static_cast<double>(static_cast<float>(z[label]) - max);
      const double loss = hard * (log_sum - own) + soft * (weights * log_sum - weighted);
      arguments.row_losses[row] = static_cast<float>(loss / batch_weight);
    }
    const float share = static_cast<float>((hard + soft * weights) / (exponentials * batch_weight));
    const float soft_share = static_cast<float>(soft / batch_weight);
    const float hard_share = static_cast<float>(hard / batch_weight);
    for (int64_t c = threadIdx.x; c < classes; c += kBlock) {
      const float w = arguments.class_weights == nullptr ? 1.0f : arguments.class_weights[c];
      float dz = expf(static_cast<float>(z[c]) - max) * share - soft_share * w;
      if (c == label) dz -= hard_share;
      arguments.dlogits[row * classes + c] = dz;
    }
    __syncthreads();  // the next row takes the scratch again
  }
}

struct LossScratch {
  double sums[kWarps];
};

__global__ void __launch_bounds__(kBlock)
    sum_losses_kernel(const float* row_losses, float* loss, int64_t rows) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < rows; i += kBlock) sum += static_cast<double>(row_losses[i]);
  sum = block_sum(sum, block_shared<LossScratch>().sums);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum);
}

struct SoftmaxScratch {
  Scratch row;
};

template <typename T>
__global__ void __launch_bounds__(kBlock)
    softmax_kernel(const T* logits, float* probabilities, int64_t rows, int64_t classes) {
  Scratch& scratch = block_shared<SoftmaxScratch>().row;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* z = logits + row * classes;
    const float max = row_max(z, classes, scratch);
    double sum = 0.0;
    for (int64_t c = threadIdx.x; c < classes; c += kBlock)
      sum += static_cast<double>(expf(static_cast<float>(z[c]) - max));
    const float scale = static_cast<float>(1.0 / block_sum(sum, scratch.sums[0]));
    for (int64_t c = threadIdx.x; c < classes; c += kBlock)
      probabilities[row * classes + c] = expf(static_cast<float>(z[c]) - max) * scale;
    __syncthreads();  // the next row takes the scratch again
  }
}

unsigned row_blocks(int64_t rows) {
  const int64_t most = int64_t{multiprocessors()} * (2048 / kBlock);
  return static_cast<unsigned>(rows < most ? rows : most);
}

}  // namespace

void launch_softmax_cross_entropy(const SoftmaxCrossEntropyArguments& arguments, device::Stream stream) {
  dispatch_element(arguments.type, [&]<typename T>(ElementTag<T>) {
    launch("softmax_cross_entropy", softmax_cross_entropy_kernel<T>,
           {.grid = {row_blocks(arguments.rows)}, .block = {kBlock}, .stream = stream},
           static_cast<const T*>(arguments.logits), arguments);
  });
  launch("sum_losses", sum_losses_kernel, {.grid = {1}, .block = {kBlock}, .stream = stream},
         arguments.row_losses, arguments.loss, arguments.rows);
}

void launch_softmax(const SoftmaxArguments& arguments, device::Stream stream) {
  dispatch_element(arguments.type, [&]<typename T>(ElementTag<T>) {
    launch("softmax", softmax_kernel<T>,
           {.grid = {row_blocks(arguments.rows)}, .block = {kBlock}, .stream = stream},
           static_cast<const T*>(arguments.logits), arguments.probabilities, arguments.rows,
           arguments.classes);
  });
}

}  // namespace cytograd
