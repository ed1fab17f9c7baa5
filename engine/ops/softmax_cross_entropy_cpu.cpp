// Row i with label t, log p_c = z_c - max - log sum exp(z - max), W = sum_i w_t(i), smoothing s, K classes:
//   loss = (sum_i (1 - s) w_t (-log p_t) + s / K sum_c w_c (-log p_c)) / W
//   d loss / d z_c = ((1 - s) w_t (p_c - [c = t]) + s / K (p_c sum_k w_k - w_c)) / W
// Without class weights w = 1. As torch.nn.functional.cross_entropy. Sums are f64, the batch's in row order.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/backend_cpu.h"
#include "engine/ops/lanes_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kGrain = 4096;  // classes a thread is worth waking for

/// e^x for x <= 0, within 1.1 units in the last place; NaN stays NaN. Without branches, so that loops of it vectorise,
/// which those of std::exp do not. With n = round(x / ln 2), e^x = 2^n e^r, r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2],
/// where ln 2 is taken in two parts of which n times the first is exact; coefficients of e^r: Moshier, Cephes, expf.
float exp_of_nonpositive(float x) {
  constexpr float kVanishes = -104.0f;   // e^-104 rounds to 0
  constexpr float kRounder = 0x1.8p23f;  // a sum with it has n in its low bits
  x = x < kVanishes ? kVanishes : x;
  const float rounded = x * 0x1.715476p0f + kRounder;
  const float n = rounded - kRounder;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors: below 2^-126 it has no exponent of its own.
  const int32_t exponent = std::bit_cast<int32_t>(rounded) - std::bit_cast<int32_t>(kRounder);
  const int32_t half = exponent >> 1;
  const auto power = [](int32_t e) { return std::bit_cast<float>((e + 127) << 23); };
  return p * power(half) * power(exponent - half);
}

/// NaN passed over. In lanes, for compilers do not reorder a maximum of floats unless told to assume that there is no
/// NaN.
template <typename T>
float largest(const T* z, int64_t count) {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  const auto larger = [](auto a, auto b) { return a > b ? a : b; };
  std::array<float, kLanes> tops;
  tops.fill(kLeast);
  Lanes top = load(tops.data());
  float rest = kLeast;
  in_lanes(count, [&]<typename V>(std::type_identity<V>, auto vectors, int64_t i) {
    for (int64_t k = 0; k < vectors; ++k, i += LaneTraits<V>::kCount) {
      const V v = LaneTraits<V>::load(z + i);
      if constexpr (std::is_same_v<V, Lanes>) {
        top = larger(v, top);
      } else {
        rest = larger(v, rest);
      }
    }
  });
  store(tops.data(), top);
  for (const float lane : tops) rest = larger(lane, rest);
  return rest;
}

/// p = softmax(z) with p[c] left as exp(z_c - max); returns max and the sum of exponentials.
struct RowSum {
  float max;
  double sum;
};
template <typename T>
RowSum exponentials(const T* z, int64_t classes, float* p) {
  const float max = largest(z, classes);
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < classes; ++c) {
    p[c] = exp_of_nonpositive(static_cast<float>(z[c]) - max);
    sum += double{p[c]};
  }
  return {max, sum};
}

int64_t rows_a_grain(int64_t classes) { return std::max<int64_t>(1, kGrain / classes); }

struct Criterion {
  int64_t classes;
  const float* weights;  // null: all 1
  double smoothing;
  double total_weight;  // of the classes
  double batch_weight;  // of the labels

  double weight(int64_t c) const { return weights == nullptr ? 1.0 : double{weights[c]}; }
};

/// The row's share of the loss, before the division by the batch's weight, and its gradient.
template <typename T>
double row_loss(const T* z, int64_t label, const Criterion& criterion, float* dz) {
  const auto [max, sum] = exponentials(z, criterion.classes, dz);
  const double log_sum = std::log(sum);
  const double top = double{max};
  const auto nll = [&](int64_t c) { return log_sum - (double{static_cast<float>(z[c])} - top); };
  const double s = criterion.smoothing;
  const double hard = (1.0 - s) * criterion.weight(label);
  const double soft = s / static_cast<double>(criterion.classes);
  double loss = hard * nll(label);
  if (s > 0.0) {
    const auto sum_of = [&](const auto& term) {
      double all = 0.0;
#pragma omp simd reduction(+ : all)
      for (int64_t c = 0; c < criterion.classes; ++c) all += term(c);
      return all;
    };
    loss += soft * (criterion.weights == nullptr ? sum_of(nll) : sum_of([&](int64_t c) {
              return double{criterion.weights[c]} * nll(c);
            }));
  }
  const float share =
      static_cast<float>((hard + soft * criterion.total_weight) / (sum * criterion.batch_weight));
  const float soft_share = static_cast<float>(soft / criterion.batch_weight);
  if (s > 0.0 && criterion.weights != nullptr) {
    for (int64_t c = 0; c < criterion.classes; ++c) dz[c] = dz[c] * share - soft_share * criterion.weights[c];
  } else {
    for (int64_t c = 0; c < criterion.classes; ++c) dz[c] = dz[c] * share - soft_share;
  }
  dz[label] -= static_cast<float>(hard / criterion.batch_weight);
  return loss;
}

/// Whether the row's largest logit, the first of equals, is at its label. NaN is never right.
template <typename T>
bool is_correct(const T* z, int64_t label, int64_t classes) {
  const auto own = static_cast<float>(z[label]);
  bool wrong = own != own;
#pragma omp simd reduction(| : wrong)
  for (int64_t c = 0; c < label; ++c) wrong |= !(static_cast<float>(z[c]) < own);
#pragma omp simd reduction(| : wrong)
  for (int64_t c = label; c < classes; ++c) wrong |= !(static_cast<float>(z[c]) <= own);
  return !wrong;
}

}  // namespace

Backend::SoftmaxCrossEntropyForward CpuBackend::softmax_cross_entropy(
    const Tensor& logits, const Tensor& labels, const Tensor& class_weights,
    const SoftmaxCrossEntropyOptions& options) {
  const int64_t rows = logits.dim(0);
  const int64_t classes = logits.dim(1);
  const int64_t* label = labels.data<int64_t>();
  Criterion criterion{classes, class_weights.defined() ? class_weights.data<float>() : nullptr,
                      double{options.label_smoothing}, 0.0, 0.0};
  for (int64_t c = 0; c < classes; ++c) criterion.total_weight += criterion.weight(c);
  for (int64_t i = 0; i < rows; ++i) {
    CHECK(label[i] >= 0 && label[i] < classes, "label {} of row {}, {} classes", label[i], i, classes);
    criterion.batch_weight += criterion.weight(label[i]);
  }

  SoftmaxCrossEntropyForward result{Tensor::empty({}), Tensor::empty({rows, classes}), Tensor::empty({})};
  float* gradient = result.dlogits.data<float>();
  std::vector<double> losses(static_cast<size_t>(rows));
  std::atomic<int64_t> correct = 0;
  dispatch_float(logits.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* z = logits.data<T>();
    parallel_for(rows, rows_a_grain(classes), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        losses[static_cast<size_t>(i)] =
            row_loss(z + i * classes, label[i], criterion, gradient + i * classes);
        if (is_correct(z + i * classes, label[i], classes)) ++correct;
      }
    });
  });
  double loss = 0.0;
  for (const double row : losses) loss += row;
  result.loss.data<float>()[0] = static_cast<float>(loss / criterion.batch_weight);
  result.correct.data<float>()[0] = static_cast<float>(correct.load());
  return result;
}

Tensor CpuBackend::softmax(const Tensor& logits) {
  const int64_t classes = logits.dim(1);
  Tensor probabilities = Tensor::empty(logits.shape());
  float* p = probabilities.data<float>();
  dispatch_float(logits.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* z = logits.data<T>();
    parallel_for(logits.dim(0), rows_a_grain(classes), [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float* row = p + i * classes;
        const float scale = static_cast<float>(1.0 / exponentials(z + i * classes, classes, row).sum);
        for (int64_t c = 0; c < classes; ++c) row[c] *= scale;
      }
    });
  });
  return probabilities;
}

}  // namespace cytograd
