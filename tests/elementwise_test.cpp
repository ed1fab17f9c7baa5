#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::rounding;
using test::tensor_of;
using test::Threads;
using test::values_of;

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};
constexpr int64_t kSizes[] = {0, 1, 3, 31, 64, 1000, 140003};
const double kInfinity = std::numeric_limits<double>::infinity();

TEST(Elementwise, AddReluAndReluBackward) {
  Backend& cpu = backend(Device::cpu);
  for (const DType dtype : kFloats) {
    for (const int64_t size : kSizes) {
      const Tensor a = normal({size}, 1, dtype), b = normal({size}, 2, dtype);
      const auto p = values_of(a), q = values_of(b);
      const auto sum = values_of(cpu.add(a, b));
      const Tensor y = cpu.relu(a);
      const auto relu = values_of(y), dx = values_of(cpu.relu_backward(b, y));
      for (size_t i = 0; i < p.size(); ++i) {
        ASSERT_NEAR(sum[i], p[i] + q[i], rounding(dtype) * std::abs(p[i] + q[i]));
        ASSERT_EQ(relu[i], p[i] > 0.0 ? p[i] : 0.0);
        ASSERT_EQ(dx[i], p[i] > 0.0 ? q[i] : 0.0);
      }
    }
  }
}

TEST(Elementwise, ReluHandsNanAndInfinityOn) {
  for (const Device device : test::devices()) {
    for (const DType dtype : kFloats) {
      const Tensor x = tensor_of({std::nan(""), kInfinity, -kInfinity, -0.0}, {4}, dtype);
      const Tensor y = backend(device).relu(x.to(device));
      const auto values = values_of(y.to(Device::cpu));
      EXPECT_TRUE(std::isnan(values[0]));
      EXPECT_EQ(values[1], kInfinity);
      EXPECT_EQ(values[2], 0.0);
      EXPECT_EQ(values[3], 0.0);
      const Tensor dy = tensor_of({3.0, 4.0, 5.0, 6.0}, {4}, dtype).to(device);
      EXPECT_EQ(values_of(backend(device).relu_backward(dy, y).to(Device::cpu)),
                (std::vector<double>{3.0, 4.0, 0.0, 0.0}));
    }
  }
}

TEST(Cast, RoundsToNearestEvenBetweenAllFloatingTypes) {
  Backend& cpu = backend(Device::cpu);
  for (const DType from : kFloats) {
    for (const DType to : kFloats) {
      const Tensor x = normal({1037}, 3, from);
      const Tensor y = cpu.cast(x, to);
      ASSERT_EQ(y.dtype(), to);
      EXPECT_EQ(values_of(y), values_of(tensor_of(values_of(x), {1037}, to)));
      const auto special =
          values_of(cpu.cast(tensor_of({kInfinity, -kInfinity, std::nan("")}, {3}, from), to));
      EXPECT_EQ(special[0], kInfinity);
      EXPECT_EQ(special[1], -kInfinity);
      EXPECT_TRUE(std::isnan(special[2]));
    }
  }
  const Tensor large = tensor_of({1e5, -1e5, 65519.0, 65520.0}, {4});
  EXPECT_EQ(values_of(cpu.cast(large, DType::f16)),
            (std::vector<double>{kInfinity, -kInfinity, 65504.0, kInfinity}));
}

TEST(Scale, MultipliesBeforeItRounds) {
  Backend& cpu = backend(Device::cpu);
  const Tensor x = normal({517}, 4, DType::f32, 0.0, 1e-3);
  const auto in = values_of(x);
  for (const DType dtype : kFloats) {
    std::vector<double> expected(in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      expected[i] = static_cast<double>(static_cast<float>(in[i]) * 1024.5f);
    }
    const auto y = values_of(cpu.scale(x, Tensor::full({}, 1024.5f), dtype));
    EXPECT_EQ(y, values_of(tensor_of(expected, {517}, dtype)));
  }
}

TEST(Dropout, DropsElementIByDrawIOfItsStream) {
  for (const DType dtype : kFloats) {
    for (const int64_t size : kSizes) {
      const DropoutOptions options{
          .probability = 0.3f, .seed = 0x123456789abcdefull, .offset = 0xfedcba987654321ull};
      const Tensor x = normal({size}, 5, dtype);
      const auto in = values_of(x);
      Philox draws(options.seed, options.offset);
      std::vector<double> expected(in.size());
      for (size_t i = 0; i < in.size(); ++i) {
        const float kept = static_cast<float>(in[i]) * (1.0f / (1.0f - options.probability));
        expected[i] = draws.uniform() < options.probability ? 0.0 : static_cast<double>(kept);
      }
      for (const Device device : test::devices()) {
        const Tensor y = backend(device).dropout(x.to(device), options);
        EXPECT_EQ(values_of(y.to(Device::cpu)), values_of(tensor_of(expected, {size}, dtype)));
      }
    }
  }
}

TEST(Dropout, KeepsTheMeanAndDoesNotDependOnTheThreads) {
  Backend& cpu = backend(Device::cpu);
  const Tensor x = Tensor::full({200003}, 1.0f);
  const auto run = [&](int threads) {
    const Threads scope(threads);
    return values_of(cpu.dropout(x, {.probability = 0.5f, .seed = 9, .offset = 2}));
  };
  const auto one = run(1);
  EXPECT_EQ(one, run(2));
  double sum = 0.0;
  for (const double v : one) sum += v;
  EXPECT_NEAR(sum / static_cast<double>(one.size()), 1.0, 0.01);  // deviation 1 / sqrt(200003) = 0.0022
}

TEST(Dropout, WithProbabilityZeroCopies) {
  const Tensor x = normal({77}, 6);
  EXPECT_EQ(values_of(backend(Device::cpu).dropout(x, {.probability = 0.0f})), values_of(x));
}

TEST(Memory, FillsEveryType) {
  for (const Device device : test::devices()) {
    EXPECT_EQ(Tensor::full({19}, 7.0f, DType::u8, device).to_vector<uint8_t>(), std::vector<uint8_t>(19, 7));
    EXPECT_EQ(Tensor::full({7}, -5.0f, DType::i32, device).to_vector<int32_t>(), std::vector<int32_t>(7, -5));
    EXPECT_EQ(Tensor::full({3}, -6.0f, DType::i64, device).to_vector<int64_t>(), std::vector<int64_t>(3, -6));
    for (const DType dtype : kFloats) {
      EXPECT_EQ(values_of(Tensor::full({70001}, 1.5f, dtype, device).to(Device::cpu)),
                std::vector<double>(70001, 1.5));
    }
  }
}

TEST(Memory, CopiesWholeTensorsOfAnySize) {
  for (const int64_t size : kSizes) {
    const Tensor x = normal({size}, 8);
    EXPECT_EQ(x.clone().to_vector<float>(), x.to_vector<float>());
  }
}

}  // namespace
}  // namespace cytograd
