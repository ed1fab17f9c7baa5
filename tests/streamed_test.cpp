// Results larger than the last-level cache are written past it, in other code than smaller ones. A part of the batch at
// a time is smaller, and gives the same bits.
#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/cpu_info.h"

namespace cytograd {
namespace {

class Streamed : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (cpu_info().last_level_cache > (int64_t{256} << 20)) GTEST_SKIP() << "a cache of over 256 MiB";
  }

  /// The least even batch whose result of `elements` an image no cache holds.
  static int64_t batch_of(int64_t elements) {
    const int64_t bytes = elements * static_cast<int64_t>(size_of(GetParam()));
    const int64_t images = cpu_info().last_level_cache / bytes + 1;
    return images + images % 2;
  }
};
INSTANTIATE_TEST_SUITE_P(Types, Streamed, testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

/// Few distinct values of either sign, so that it is made quickly.
Tensor wavy(const Shape& shape, DType dtype) {
  Tensor x = Tensor::empty(shape, dtype);
  dispatch_float(dtype, [&]<typename T>(TypeTag<T>) {
    for (int64_t i = 0; i < x.elements(); ++i) x.data<T>()[i] = T(static_cast<float>(i % 251 - 125) * 0.25f);
  });
  return x;
}

/// Half of a batch, its first or second.
Tensor half_of(const Tensor& x, int64_t which) {
  std::vector<int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
  dims[0] /= 2;
  Tensor half = Tensor::empty(Shape(dims), x.dtype());
  std::memcpy(half.raw(), static_cast<const std::byte*>(x.raw()) + static_cast<size_t>(which) * half.bytes(),
              half.bytes());
  return half;
}

void expect_same_bits(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

TEST_P(Streamed, Relu) {
  Backend& cpu = backend(Device::cpu);
  const Tensor x = wavy({batch_of(1023), 1023}, GetParam());
  const Tensor y = cpu.relu(x);
  for (const int64_t i : {0, 1}) expect_same_bits(half_of(y, i), cpu.relu(half_of(x, i)));
}

TEST_P(Streamed, BatchNormOfRunningStatistics) {
  Backend& cpu = backend(Device::cpu);
  constexpr int64_t kChannels = 72;
  const Tensor x = wavy({batch_of(28 * 28 * kChannels), 28, 28, kChannels}, GetParam());
  Backend::BatchnormActArguments arguments{.x = x,
                                           .gamma = Tensor::full({kChannels}, 1.5f),
                                           .beta = Tensor::full({kChannels}, -0.5f),
                                           .running_mean = Tensor::full({kChannels}, 0.25f),
                                           .running_var = Tensor::full({kChannels}, 2.0f),
                                           .residual = x};
  const Tensor y = cpu.batchnorm_act_eval(arguments, {.relu = true});
  for (const int64_t i : {0, 1}) {
    arguments.x = arguments.residual = half_of(x, i);
    expect_same_bits(half_of(y, i), cpu.batchnorm_act_eval(arguments, {.relu = true}));
  }
}

TEST_P(Streamed, MaxPoolingsGradient) {
  Backend& cpu = backend(Device::cpu);
  constexpr int64_t kChannels = 44;  // four lots of lanes, one, and one that overlaps it
  const Shape shape{batch_of(40 * 36 * kChannels), 40, 36, kChannels};
  const auto pooled = cpu.max_pool2d(wavy(shape, GetParam()), {});
  const Tensor dy = wavy(pooled.y.shape(), GetParam());
  const Tensor dx = cpu.max_pool2d_backward(dy, pooled.index, shape, {});
  const Shape half{shape[0] / 2, shape[1], shape[2], shape[3]};
  for (const int64_t i : {0, 1}) {
    expect_same_bits(half_of(dx, i),
                     cpu.max_pool2d_backward(half_of(dy, i), half_of(pooled.index, i), half, {}));
  }
}

TEST_P(Streamed, Preprocessing) {
  Backend& cpu = backend(Device::cpu);
  constexpr int64_t kCrop = 60;  // rows of whole 16 bytes: others are not streamed
  constexpr int64_t kChannels = 6;
  const int64_t count = batch_of(kCrop * kCrop * kChannels);
  Tensor images = Tensor::empty({count, 64, 64, kChannels}, DType::u8);
  for (int64_t i = 0; i < images.elements(); ++i)
    images.data<uint8_t>()[i] = static_cast<uint8_t>(i * 7 % 253);
  std::vector<View> views(static_cast<size_t>(count));
  for (size_t i = 0; i < views.size(); ++i) {
    views[i].top = static_cast<int64_t>(i % 4);
    views[i].mirror = i % 3 == 0;
    views[i].quarter_turns = static_cast<int32_t>(i / 2 % 4);
  }
  const PreprocessOptions options{.crop_height = kCrop, .crop_width = kCrop, .dtype = GetParam()};
  Tensor y = Tensor::empty({count, kCrop, kCrop, kChannels}, GetParam());
  cpu.preprocess(images, views, options, y);
  for (const int64_t i : {0, 1}) {
    const auto some =
        std::span(views).subspan(static_cast<size_t>(i * count / 2), static_cast<size_t>(count / 2));
    Tensor part = Tensor::empty({count / 2, kCrop, kCrop, kChannels}, GetParam());
    cpu.preprocess(half_of(images, i), some, options, part);
    expect_same_bits(half_of(y, i), part);
  }
}

}  // namespace
}  // namespace cytograd
