#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::tensor_of;
using test::Threads;
using test::values_of;

Tensor labels_of(const std::vector<int64_t>& labels) {
  return Tensor::from(labels, {static_cast<int64_t>(labels.size())});
}

/// The loss by its formula in f64, and its gradient.
struct Reference {
  double loss = 0.0;
  std::vector<double> dlogits;

  Reference(const std::vector<double>& z, const std::vector<int64_t>& labels, std::vector<double> w,
            double s) {
    const size_t rows = labels.size(), classes = z.size() / rows;
    if (w.empty()) w.assign(classes, 1.0);
    dlogits.resize(z.size());
    double batch = 0.0;
    for (const int64_t label : labels) batch += w[static_cast<size_t>(label)];
    for (size_t i = 0; i < rows; ++i) {
      const double* row = z.data() + i * classes;
      const double max = *std::max_element(row, row + classes);
      double sum = 0.0;
      for (size_t c = 0; c < classes; ++c) sum += std::exp(row[c] - max);
      std::vector<double> target(classes);  // the weight of -log p_c
      for (size_t c = 0; c < classes; ++c) target[c] = s / static_cast<double>(classes) * w[c] / batch;
      const size_t t = static_cast<size_t>(labels[i]);
      target[t] += (1.0 - s) * w[t] / batch;
      double total = 0.0;
      for (const double v : target) total += v;
      for (size_t c = 0; c < classes; ++c) {
        const double log_p = row[c] - max - std::log(sum);
        loss -= target[c] * log_p;
        dlogits[i * classes + c] = total * std::exp(log_p) - target[c];
      }
    }
  }
};

TEST(SoftmaxCrossEntropy, IsTheFormula) {
  Backend& cpu = backend(Device::cpu);
  for (const auto& [rows, classes] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 7}, {5, 2}, {17, 100}, {64, 1108}, {300, 3}}) {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i * 31 % classes);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      const Tensor logits = normal({rows, classes}, 1, dtype, 0.0, 3.0);
      for (const float smoothing : {0.0f, 0.125f, 1.0f}) {
        for (const bool weighted : {false, true}) {
          Tensor weights;
          std::vector<double> w;
          if (weighted) {
            for (int64_t c = 0; c < classes; ++c) w.push_back(0.25 + 0.5 * static_cast<double>(c % 5));
            weights = tensor_of(w, {classes});
          }
          const auto result =
              cpu.softmax_cross_entropy(logits, labels_of(labels), weights, {.label_smoothing = smoothing});
          const Reference reference(values_of(logits), labels, w, static_cast<double>(smoothing));
          EXPECT_EQ(result.loss.shape(), Shape{});
          EXPECT_EQ(result.dlogits.dtype(), DType::f32);
          EXPECT_NEAR(static_cast<double>(result.loss.item()), reference.loss, 1e-6 + 1e-6 * reference.loss);
          const auto gradient = values_of(result.dlogits);
          for (size_t i = 0; i < gradient.size(); ++i) {
            ASSERT_NEAR(gradient[i], reference.dlogits[i], 3e-7) << rows << "x" << classes << " at " << i;
          }
        }
      }
    }
  }
}

TEST(Softmax, HasTheExponentialsOfEveryLogitDownToZero) {
  std::vector<double> z;
  for (int i = 0; i < 110003; ++i) z.push_back(static_cast<double>(static_cast<float>(-1e-3 * i)));
  const auto p = values_of(backend(Device::cpu).softmax(tensor_of(z, {1, static_cast<int64_t>(z.size())})));
  const double one = p[0];  // e^0 by the sum
  double last = 1.0;
  for (size_t i = 0; i < z.size(); ++i) {
    const double e = std::exp(z[i]);
    ASSERT_NEAR(p[i] / one, e, 2.5e-7 * e + 2e-45 / one) << z[i];  // below 2^-126 a float has fewer digits
    ASSERT_LE(p[i] / one, last * (1.0 + 2.5e-7)) << z[i];
    last = p[i] / one;
  }
  EXPECT_EQ(p.back(), 0.0);
}

TEST(Softmax, ANaNSpoilsItsRowAlone) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (size_t at = 0; at < 19; ++at) {
    std::vector<double> z(3 * 19, 1.0);
    z[19 + at] = nan;
    const auto p = values_of(backend(Device::cpu).softmax(tensor_of(z, {3, 19})));
    for (size_t i = 0; i < p.size(); ++i) {
      if (i / 19 == 1)
        EXPECT_TRUE(std::isnan(p[i])) << at << " " << i;
      else
        EXPECT_NEAR(p[i], 1.0 / 19.0, 1e-7) << at << " " << i;
    }
  }
}

// Numbers from torch.nn.functional.cross_entropy on the same input.
TEST(SoftmaxCrossEntropy, WeightedSmoothingIsPyTorchs) {
  const Tensor logits = tensor_of({1.0, -2.0, 0.5, 0.25, 3.0, -1.0}, {2, 3});
  const Tensor weights = tensor_of({0.5, 2.0, 1.0}, {3});
  const auto result =
      backend(Device::cpu)
          .softmax_cross_entropy(logits, labels_of({2, 1}), weights, {.label_smoothing = 0.25f});
  EXPECT_NEAR(static_cast<double>(result.loss.item()), 0.677270545, 1e-6);
}

TEST(SoftmaxCrossEntropy, RejectsALabelOutOfRange) {
  Backend& cpu = backend(Device::cpu);
  const Tensor logits = normal({3, 4}, 2);
  EXPECT_THROW(cpu.softmax_cross_entropy(logits, labels_of({0, 4, 1}), Tensor(), {}), CheckError);
  EXPECT_THROW(cpu.softmax_cross_entropy(logits, labels_of({0, 1, -1}), Tensor(), {}), CheckError);
}

// A GPU goes on, to a loss that training stops at.
TEST(SoftmaxCrossEntropy, ALabelOutOfRangeHasNoLossOnAGpu) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  for (const int64_t bad : {int64_t{-1}, int64_t{4}, -(int64_t{1} << 40), int64_t{1} << 40}) {
    const auto result = backend(Device::cuda)
                            .softmax_cross_entropy(normal({3, 4}, 2).to(Device::cuda),
                                                   labels_of({0, bad, 1}).to(Device::cuda), Tensor(), {});
    EXPECT_TRUE(std::isnan(result.loss.item())) << bad;
    for (const float v : result.dlogits.to_vector<float>()) EXPECT_TRUE(std::isnan(v)) << bad;
  }
}

// More rows than a block has threads, more than the emulator's grid has blocks.
TEST(SoftmaxCrossEntropy, ManyRowsHaveTheLossOfTheCpu) {
  constexpr int64_t kRows = 600, kClasses = 3;
  const Tensor logits = normal({kRows, kClasses}, 4), weights = tensor_of({0.5, 2.0, 1.0}, {kClasses});
  std::vector<int64_t> labels(kRows);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i * 5 / 3 % 3);
  const auto run = [&](Device device) {
    return backend(device).softmax_cross_entropy(logits.to(device), labels_of(labels).to(device),
                                                 weights.to(device), {.label_smoothing = 0.1f});
  };
  const auto expected = run(Device::cpu);
  for (const Device device : test::devices()) {
    const auto result = run(device);
    EXPECT_NEAR(result.loss.item(), expected.loss.item(), 1e-6) << device_name(device);
    EXPECT_EQ(result.correct.item(), expected.correct.item()) << device_name(device);
    EXPECT_LE(test::worst_difference(values_of(result.dlogits.to(Device::cpu)), values_of(expected.dlogits)),
              1e-6)
        << device_name(device);
  }
}

TEST(SoftmaxCrossEntropy, StaysFiniteForExtremeLogits) {
  const Tensor logits = tensor_of({1e4, -1e4, 0.0, -1e4, 1e4, 9999.0}, {2, 3});
  const auto result =
      backend(Device::cpu)
          .softmax_cross_entropy(logits, labels_of({1, 1}), Tensor(), {.label_smoothing = 0.0f});
  const double second = std::log(1.0 + std::exp(-1.0));
  EXPECT_NEAR(static_cast<double>(result.loss.item()), (2e4 + second) / 2.0, 1e-2);
  for (const double v : values_of(result.dlogits)) EXPECT_TRUE(std::isfinite(v));
}

TEST(SoftmaxCrossEntropy, MinusInfinityIsAClassWithoutProbability) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Device device : test::devices()) {
    const Tensor logits = tensor_of({0.0, -infinity, 0.0}, {1, 3}).to(device);
    const auto result =
        backend(device).softmax_cross_entropy(logits, labels_of({0}).to(device), Tensor(), {});
    EXPECT_NEAR(static_cast<double>(result.loss.item()), std::log(2.0), 1e-6);
    EXPECT_EQ(values_of(result.dlogits.to(Device::cpu))[1], 0.0);
  }
}

TEST(SoftmaxCrossEntropy, OfEqualInfinitiesTheFirstIsThePrediction) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Device device : test::devices()) {
    for (const double value : {infinity, -infinity}) {
      const Tensor logits = tensor_of({value, value, value, value, -infinity, value}, {2, 3}).to(device);
      const auto correct = [&](const std::vector<int64_t>& labels) {
        return backend(device)
            .softmax_cross_entropy(logits, labels_of(labels).to(device), Tensor(), {})
            .correct.item();
      };
      EXPECT_EQ(correct({0, 0}), 2.0f) << value;
      EXPECT_EQ(correct({1, 2}), 0.0f) << value;
    }
  }
}

TEST(SoftmaxCrossEntropy, HandsNanOn) {
  const Tensor logits = tensor_of({0.0, std::nan(""), 1.0}, {1, 3});
  const auto result = backend(Device::cpu).softmax_cross_entropy(logits, labels_of({0}), Tensor(), {});
  EXPECT_TRUE(std::isnan(result.loss.item()));
}

TEST(SoftmaxCrossEntropy, DoesNotDependOnTheThreads) {
  const Tensor logits = normal({257, 1108}, 3);
  std::vector<int64_t> labels(257);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i * 37 % 1108);
  const auto run = [&](int threads) {
    const Threads scope(threads);
    const auto result =
        backend(Device::cpu)
            .softmax_cross_entropy(logits, labels_of(labels), Tensor(), {.label_smoothing = 0.1f});
    auto all = result.dlogits.to_vector<float>();
    all.push_back(result.loss.item());
    return all;
  };
  EXPECT_EQ(run(1), run(2));
}

TEST(SoftmaxCrossEntropy, CountsTheRowsWhoseFirstLargestLogitIsTheirLabels) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> logits{
      1,   2,   0,    // right: the largest is 1
      1,   2,   0,    // wrong
      5,   5,   1,    // right: the first of equals
      5,   5,   1,    // wrong: the second
      -3,  -1,  -1,   // right
      nan, 1,   2,    // no number is right
      nan, 1,   2,    //
      3,   nan, nan,  //
  };
  const std::vector<int64_t> labels{1, 0, 0, 1, 1, 2, 0, 0};
  for (const Device device : test::devices()) {
    const auto count = counted_softmax_cross_entropy(Tensor::from(logits, {8, 3}, device),
                                                     Tensor::from(labels, {8}, device), {}, {});
    EXPECT_EQ(count.correct.item(), 3.0f) << device_name(device);
  }
  // Rows longer than a block of threads.
  const int64_t rows = 70, classes = 1108;
  const std::vector<float> wide = normal({rows, classes}, 3).to_vector<float>();
  std::vector<int64_t> best;
  for (int64_t i = 0; i < rows; ++i) {
    const auto row = wide.begin() + i * classes;
    best.push_back(std::max_element(row, row + classes) - row);
    if (i % 3 == 0) best.back() = (best.back() + 1) % classes;
  }
  for (const Device device : test::devices()) {
    const auto count = counted_softmax_cross_entropy(Tensor::from(wide, {rows, classes}, device),
                                                     Tensor::from(best, {rows}, device), {}, {});
    EXPECT_EQ(count.correct.item(), 46.0f) << device_name(device);
  }
}

TEST(Softmax, NoRowsAreNoProbabilities) {
  for (const Device device : test::devices())
    EXPECT_EQ(softmax(Tensor::empty({0, 3}, DType::f32, device)).shape(), (Shape{0, 3}))
        << device_name(device);
}

TEST(Softmax, RowsAreProbabilities) {
  const Tensor logits = tensor_of({1e4, 0.0, -1e4, 1.0, 2.0, 3.0}, {2, 3});
  const auto p = values_of(backend(Device::cpu).softmax(logits));
  const double sum = std::exp(-2.0) + std::exp(-1.0) + 1.0;
  const std::vector<double> expected{1.0, 0.0, 0.0, std::exp(-2.0) / sum, std::exp(-1.0) / sum, 1.0 / sum};
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(p[i], expected[i], 1e-7) << i;
}

}  // namespace
}  // namespace cytograd
