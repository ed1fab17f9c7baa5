// For row i with label t, p = softmax(z), W = sum_i w_t(i), smoothing s, K classes (formulas: the CPU's
// engine/ops/softmax_cross_entropy_cpu.cpp):
//   loss = (sum_i (1 - s) w_t (-log p_t) + s / K sum_c w_c (-log p_c)) / W
//   d loss / d z_c = ((1 - s) w_t (p_c - [c = t]) + s / K (p_c sum_k w_k - w_c)) / W
//
// A block a row: z is read three times (maximum; sums; gradient), the last two from the caches. 8 bytes an element in
// f32: at 4.3 TB/s, 538 billion logits a second; a batch of 64 rows of 1,139 is bound by its two launches instead.
// Sums run over a row in f64: they are few, and large logits cancel.
// An H200 at 632b5f2, in shares of a copy, of 4,096 rows of 1,139: the loss 0.16 in f32 and 0.12 in bf16, probabilities
// 0.35 and 0.26.
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

    int64_t label = arguments.labels[row];
    if (label < 0 || label >= classes) label = 0;
    const float own = static_cast<float>(z[label]);
    bool earlier = false;  // an equal of the maximum comes before the label

    double exponentials = 0.0, weights = 0.0, weighted = 0.0;  // sum_c exp(z_c - max), w_c, w_c (z_c - max)
    for (int64_t c = threadIdx.x; c < classes; c += kBlock) {
      const float v = static_cast<float>(z[c]);
      const float d = v - max;
      const double w = weight(arguments.class_weights, c);
      exponentials += static_cast<double>(expf(d));
      weights += w;
      weighted += w * static_cast<double>(d);
      earlier = earlier || (c < label && v == max);  // d is NaN where both are infinite
    }
    double batch_weight = 0.0;  // W, summed anew by each block: a launch less
    for (int64_t i = threadIdx.x; i < arguments.rows; i += kBlock) {
      const int64_t other = arguments.labels[i];
      batch_weight += other < 0 || other >= classes ? NAN : weight(arguments.class_weights, other);
    }
    exponentials = block_sum(exponentials, scratch.sums[0]);
    weights = block_sum(weights, scratch.sums[1]);
    weighted = block_sum(weighted, scratch.sums[2]);
    batch_weight = block_sum(batch_weight, scratch.sums[3]);
    const bool correct = __syncthreads_or(earlier) == 0 && own == max;

    const double hard = (1.0 - smoothing) * weight(arguments.class_weights, label);
    const double soft = smoothing / static_cast<double>(classes);
    if (threadIdx.x == 0) {
      const double log_sum = log(exponentials);
      double loss = hard * (log_sum - static_cast<double>(own - max));
      if (soft != 0.0) loss += soft * (weights * log_sum - weighted);  // a logit of -inf weighs infinitely
      arguments.row_results[row] = static_cast<float>(loss / batch_weight);
      arguments.row_results[arguments.rows + row] = correct ? 1.0f : 0.0f;
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
    // The next row may take the scratch again: __syncthreads_or stands behind the last who read it.
  }
}

struct SumScratch {
  double losses[kWarps];
  double corrects[kWarps];
};

__global__ void __launch_bounds__(kBlock) sum_rows_kernel(SoftmaxCrossEntropyArguments arguments) {
  SumScratch& scratch = block_shared<SumScratch>();
  double loss = 0.0, correct = 0.0;
  for (int64_t i = threadIdx.x; i < arguments.rows; i += kBlock) {
    loss += static_cast<double>(arguments.row_results[i]);
    correct += static_cast<double>(arguments.row_results[arguments.rows + i]);
  }
  loss = block_sum(loss, scratch.losses);
  correct = block_sum(correct, scratch.corrects);
  if (threadIdx.x == 0) {
    *arguments.loss = static_cast<float>(loss);
    *arguments.correct = static_cast<float>(correct);
  }
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
    // The next row may take the scratch again: it writes sums behind a barrier of row_max, and maxima behind
    // block_sum's.
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
  launch("sum_rows", sum_rows_kernel, {.grid = {1}, .block = {kBlock}, .stream = stream}, arguments);
}

void launch_softmax(const SoftmaxArguments& arguments, device::Stream stream) {
  if (arguments.rows == 0) return;
  dispatch_element(arguments.type, [&]<typename T>(ElementTag<T>) {
    launch("softmax", softmax_kernel<T>,
           {.grid = {row_blocks(arguments.rows)}, .block = {kBlock}, .stream = stream},
           static_cast<const T*>(arguments.logits), arguments.probabilities, arguments.rows,
           arguments.classes);
  });
}

}  // namespace cytograd
