// Pooling, column sums and elementwise ops on Device::cuda where the op table is thin: against the CPU over many
// shapes, and the same bits whatever order threads run in and however the arrays are aligned.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/column_sum.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/global_avg_pool.h"
#include "kernels/max_pool2d.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::rounding;
using test::tensor_of;
using test::under_schedules;

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

std::vector<uint8_t> bytes_of(const Tensor& t) {
  const Tensor host = t.to(Device::cpu);
  const auto* p = static_cast<const uint8_t*>(host.raw());
  return {p, p + host.bytes()};
}

std::vector<double> values_of(const Tensor& t) { return test::values_of(t.to(Device::cpu)); }

/// What body(device backend) gives, which is the same under all schedules.
Tensor under_all_schedules(const std::function<Tensor(Backend&)>& body) {
  Tensor first;
  under_schedules([&](const std::string& schedule) {
    const Tensor now = body(backend(Device::cuda));
    if (!first.defined()) first = now;
    EXPECT_EQ(bytes_of(now), bytes_of(first)) << schedule;
  });
  return first;
}

/// A device copy that begins one element into its storage, where 16-byte accesses cannot reach it; or at its start.
class Shifted {
 public:
  explicit Shifted(const Tensor& host, bool shifted = true)
      : skip_(shifted ? static_cast<int64_t>(size_of(host.dtype())) : 0) {
    const auto* bytes = static_cast<const uint8_t*>(host.raw());
    std::vector<uint8_t> all(static_cast<size_t>(skip_), 0);
    all.insert(all.end(), bytes, bytes + host.bytes());
    storage_ = Tensor::from(all, {static_cast<int64_t>(all.size())}, Device::cuda);
    backend(Device::cuda).synchronize();  // the test's launches go to another stream
  }
  void* raw() { return static_cast<uint8_t*>(storage_.raw()) + skip_; }
  std::vector<uint8_t> bytes() const {
    device::synchronize(nullptr);
    const auto all = storage_.to_vector<uint8_t>();
    return {all.begin() + skip_, all.end()};
  }

 private:
  int64_t skip_;
  Tensor storage_;
};

ElementType element(DType dtype) {
  return dtype == DType::f32 ? ElementType::f32 : dtype == DType::bf16 ? ElementType::bf16 : ElementType::f16;
}

class PoolCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};

struct MaxPoolCase {
  Shape x;
  MaxPool2dOptions options;
};

/// Windows cut on each side, whole rows and columns that no window reads, channels in eights, in fours and in neither,
/// several blocks side by side, images enough for several turns.
const MaxPoolCase kMaxPools[] = {{{2, 9, 7, 8}, {}},
                                 {{1, 7, 5, 24}, {.window = 2, .stride = 2, .padding = 0}},
                                 {{2, 8, 11, 3}, {.window = 2, .stride = 5, .padding = 1}},
                                 {{2, 6, 5, 16}, {.window = 3, .stride = 1, .padding = 1}},
                                 {{1, 9, 10, 5}, {.window = 5, .stride = 2, .padding = 2}},
                                 {{1, 16, 17, 8}, {.window = 15, .stride = 1, .padding = 7}},
                                 {{3, 5, 4, 264}, {}},
                                 {{2, 4, 4, 300}, {.window = 4, .stride = 4, .padding = 0}},
                                 {{1, 1, 9, 1}, {.window = 1, .stride = 1, .padding = 0}},
                                 {{40, 33, 31, 8}, {}},
                                 {{2, 18, 6, 16}, {}},
                                 {{1, 1, 1, 8}, {}},
                                 {{2, 2, 2, 12}, {}},
                                 {{1, 8, 9, 4}, {}},
                                 {{2, 9, 7, 8}, {.window = 3, .stride = 2, .padding = 0}},
                                 {{1, 5, 66, 64}, {}}};

/// Few different values, so that windows have several maxima; some NaN and infinities.
Tensor picture(const Shape& shape, DType dtype) {
  Philox random(21);
  std::vector<double> values(static_cast<size_t>(shape.elements()));
  for (double& v : values) {
    v = static_cast<double>(random.below(5)) - 2.0;
    const uint64_t rare = random.below(40);
    if (rare == 0) v = std::numeric_limits<double>::quiet_NaN();
    if (rare == 1) v = -std::numeric_limits<double>::infinity();
  }
  return tensor_of(values, shape, dtype);
}

TEST_F(PoolCuda, MaxPoolIsTheCpusToTheBit) {
  Backend& cpu = backend(Device::cpu);
  for (const MaxPoolCase& c : kMaxPools) {
    for (const DType dtype : kFloats) {
      const Tensor x = picture(c.x, dtype), on_device = x.to(Device::cuda);
      const auto expected = cpu.max_pool2d(x, c.options);
      const Tensor y =
          under_all_schedules([&](Backend& cuda) { return cuda.max_pool2d(on_device, c.options).y; });
      const Tensor index =
          under_all_schedules([&](Backend& cuda) { return cuda.max_pool2d(on_device, c.options).index; });
      EXPECT_EQ(bytes_of(index), bytes_of(expected.index)) << to_string(c.x) << " " << dtype_name(dtype);
      EXPECT_EQ(y.shape(), expected.y.shape());
      const auto a = values_of(y), b = values_of(expected.y);
      for (size_t i = 0; i < a.size(); ++i)
        ASSERT_TRUE(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) << to_string(c.x) << " at " << i;

      // Whole numbers: their sums are exact in any order.
      const Tensor dy = tensor_of(
          [&] {
            Philox random(22);
            std::vector<double> values(b.size());
            for (double& v : values) v = static_cast<double>(random.below(17)) - 8.0;
            return values;
          }(),
          expected.y.shape(), dtype);
      const Tensor dy_on_device = dy.to(Device::cuda);
      const Tensor dx = under_all_schedules(
          [&](Backend& cuda) { return cuda.max_pool2d_backward(dy_on_device, index, c.x, c.options); });
      EXPECT_EQ(values_of(dx), values_of(cpu.max_pool2d_backward(dy, expected.index, c.x, c.options)))
          << to_string(c.x) << " " << dtype_name(dtype);
    }
  }
}

TEST_F(PoolCuda, AWindowOfMinusInfinitiesHasItsFirstPlace) {
  for (const MaxPoolCase& c : {kMaxPools[0], kMaxPools[2]}) {
    for (const DType dtype : kFloats) {
      const Tensor x = Tensor::full(c.x, -std::numeric_limits<float>::infinity(), dtype);
      const auto expected = backend(Device::cpu).max_pool2d(x, c.options);
      const auto actual = backend(Device::cuda).max_pool2d(x.to(Device::cuda), c.options);
      EXPECT_EQ(bytes_of(actual.index), bytes_of(expected.index)) << dtype_name(dtype);
      EXPECT_EQ(bytes_of(actual.y), bytes_of(expected.y)) << dtype_name(dtype);
    }
  }
}

TEST_F(PoolCuda, MaxPoolOfUnalignedArraysHasTheBitsOfAlignedOnes) {
  for (const DType dtype : kFloats) {
    const Shape shape{2, 9, 7, 16};
    const Tensor x = normal(shape, 31, dtype);
    Backend& cuda = backend(Device::cuda);
    const auto aligned = cuda.max_pool2d(x.to(Device::cuda), {});
    const Shape& y_shape = aligned.y.shape();
    const Tensor dy = normal(y_shape, 32, dtype);
    const MaxPool2dSizes sizes{.images = 2,
                               .height = 9,
                               .width = 7,
                               .rows = y_shape[1],
                               .columns = y_shape[2],
                               .channels = 16,
                               .window = 3,
                               .stride = 2,
                               .padding = 1,
                               .type = element(dtype)};
    Shifted from(x), gradient(dy), y(Tensor::zeros(y_shape, dtype)), index(Tensor::zeros(y_shape, DType::u8));
    Shifted dx(Tensor::zeros(shape, dtype));
    launch_max_pool2d(
        {.x = from.raw(), .y = y.raw(), .index = static_cast<uint8_t*>(index.raw()), .sizes = sizes},
        nullptr);
    launch_max_pool2d_backward({.dy = gradient.raw(),
                                .index = static_cast<const uint8_t*>(index.raw()),
                                .dx = dx.raw(),
                                .sizes = sizes},
                               nullptr);
    EXPECT_EQ(y.bytes(), bytes_of(aligned.y));
    EXPECT_EQ(index.bytes(), bytes_of(aligned.index));
    EXPECT_EQ(dx.bytes(), bytes_of(cuda.max_pool2d_backward(dy.to(Device::cuda), aligned.index, shape, {})));
  }
}

TEST_F(PoolCuda, GlobalAvgPoolAgreesWithTheCpu) {
  Backend& cpu = backend(Device::cpu);
  for (const Shape& shape : {Shape{1, 1, 1, 8}, Shape{3, 5, 7, 24}, Shape{2, 3, 3, 300}, Shape{2, 7, 7, 520},
                             Shape{9, 40, 41, 1}, Shape{2, 23, 21, 17}}) {
    for (const DType dtype : kFloats) {
      const Tensor x = normal(shape, 41, dtype, 1.0), dy = normal({shape[0], shape[3]}, 42, dtype);
      const Tensor x_on_device = x.to(Device::cuda), dy_on_device = dy.to(Device::cuda);
      const auto y =
          values_of(under_all_schedules([&](Backend& cuda) { return cuda.global_avg_pool(x_on_device); }));
      const auto dx = values_of(under_all_schedules(
          [&](Backend& cuda) { return cuda.global_avg_pool_backward(dy_on_device, shape); }));
      const auto expected = values_of(cpu.global_avg_pool(x));
      for (size_t i = 0; i < y.size(); ++i)
        ASSERT_NEAR(y[i], expected[i], 2.0 * rounding(dtype) * std::abs(expected[i]) + 1e-6)
            << to_string(shape) << " at " << i;
      EXPECT_EQ(dx, values_of(cpu.global_avg_pool_backward(dy, shape)))
          << to_string(shape) << " " << dtype_name(dtype);
    }
  }
}

TEST_F(PoolCuda, GlobalAvgPoolOfUnalignedArraysHasTheBitsOfAlignedOnes) {
  for (const DType dtype : kFloats) {
    const Shape shape{3, 5, 7, 40};
    const Tensor x = normal(shape, 43, dtype), dy = normal({3, 40}, 44, dtype);
    Shifted from(x), gradient(dy), y(Tensor::zeros({3, 40}, dtype)), dx(Tensor::zeros(shape, dtype));
    GlobalAvgPoolArguments arguments{
        .from = from.raw(), .to = y.raw(), .images = 3, .pixels = 35, .channels = 40, .type = element(dtype)};
    launch_global_avg_pool(arguments, nullptr);
    arguments.from = gradient.raw();
    arguments.to = dx.raw();
    launch_global_avg_pool_backward(arguments, nullptr);
    Backend& cuda = backend(Device::cuda);
    EXPECT_EQ(y.bytes(), bytes_of(cuda.global_avg_pool(x.to(Device::cuda))));
    EXPECT_EQ(dx.bytes(), bytes_of(cuda.global_avg_pool_backward(dy.to(Device::cuda), shape)));
  }
}

TEST_F(PoolCuda, ColumnSumsAgreeWithTheSumInF64) {
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 24}, Shape{64, 1139}, Shape{700, 264}, Shape{20011, 3},
                             Shape{40000, 8}, Shape{513, 40}, Shape{0, 9}}) {
    for (const DType dtype : kFloats) {
      const Tensor x = normal(shape, 51, dtype), on_device = x.to(Device::cuda);
      const auto in = values_of(x);
      const auto columns = static_cast<size_t>(shape[1]);
      std::vector<double> expected(columns), size(columns);
      for (size_t i = 0; i < in.size(); ++i) {
        expected[i % columns] += in[i];
        size[i % columns] += std::abs(in[i]);
      }
      const auto sums =
          values_of(under_all_schedules([&](Backend& cuda) { return cuda.linear_backward_bias(on_device); }));
      for (size_t c = 0; c < columns; ++c)
        ASSERT_NEAR(sums[c], expected[c], 1e-6 * size[c]) << to_string(shape) << " at " << c;
    }
  }
}

TEST_F(PoolCuda, ColumnSumsOfAnUnalignedMatrixHaveTheBitsOfAnAlignedOne) {
  for (const DType dtype : kFloats) {
    for (const int64_t rows : {5, 3000}) {
      const Tensor x = normal({rows, 16}, 52, dtype);
      Shifted from(x), sums(Tensor::zeros({16})), workspace(Tensor::zeros({column_sum_workspace(rows, 16)}));
      launch_column_sum({.x = from.raw(),
                         .sums = static_cast<float*>(sums.raw()),
                         .workspace = static_cast<float*>(workspace.raw()),
                         .rows = rows,
                         .columns = 16,
                         .type = element(dtype)},
                        nullptr);
      EXPECT_EQ(sums.bytes(), bytes_of(backend(Device::cuda).linear_backward_bias(x.to(Device::cuda))));
    }
  }
}

TEST_F(PoolCuda, ColumnSumsOfAnyNumberOfPartsAgree) {
  const Tensor x = normal({2500, 260}, 53), on_device = x.to(Device::cuda);
  const auto expected = values_of(backend(Device::cpu).linear_backward_bias(x));
  for (const int64_t splits : {1, 7, 33, 257, 300}) {
    Tensor sums = Tensor::zeros({260}, DType::f32, Device::cuda);
    Tensor workspace = Tensor::zeros({column_sum_workspace(2500, 260, splits)}, DType::f32, Device::cuda);
    backend(Device::cuda).synchronize();
    launch_column_sum({.x = on_device.raw(),
                       .sums = sums.data<float>(),
                       .workspace = workspace.data<float>(),
                       .rows = 2500,
                       .columns = 260,
                       .splits = splits},
                      nullptr);
    device::synchronize(nullptr);
    const auto actual = values_of(sums);
    for (size_t c = 0; c < actual.size(); ++c)
      ASSERT_NEAR(actual[c], expected[c], 1e-3) << splits << ", " << c;
  }
}

// One array after another begins past a multiple of 16 bytes.
TEST_F(PoolCuda, ElementwiseKernelsTakeAnyAddress) {
  constexpr int64_t kCount = 4100;  // two tiles and a tail
  Backend& cuda = backend(Device::cuda);
  for (const DType dtype : kFloats) {
    const Tensor a = normal({kCount}, 61, dtype), b = normal({kCount}, 62, dtype);
    const Tensor zeros = Tensor::zeros({kCount}, dtype);
    const auto sum = bytes_of(cuda.add(a.to(Device::cuda), b.to(Device::cuda)));
    const auto dropped = bytes_of(cuda.dropout(a.to(Device::cuda), {.probability = 0.5f, .seed = 9}));
    for (int shifted = 0; shifted < 3; ++shifted) {
      Shifted u(a, shifted == 0), v(b, shifted == 1), y(zeros, shifted == 2);
      launch_add({.a = u.raw(), .b = v.raw(), .y = y.raw(), .count = kCount, .type = element(dtype)},
                 nullptr);
      EXPECT_EQ(y.bytes(), sum) << shifted;
      launch_dropout({.x = u.raw(),
                      .y = y.raw(),
                      .count = kCount,
                      .type = element(dtype),
                      .probability = 0.5f,
                      .seed = 9},
                     nullptr);
      EXPECT_EQ(y.bytes(), dropped) << shifted;
    }
    Shifted filled(zeros);
    launch_fill({.y = filled.raw(),
                 .count = kCount,
                 .bits = 0x4000400040004000u,
                 .bytes = static_cast<int>(size_of(dtype))},
                nullptr);
    for (const uint8_t byte : filled.bytes()) ASSERT_TRUE(byte == 0x40 || byte == 0);
    EXPECT_EQ(filled.bytes().back(), 0x40);
  }
}

// 1 + 2^-8 lies between two bf16, 2^-10 more is nearer to the upper one.
TEST_F(PoolCuda, ALinearLayersSumWithItsBiasIsRoundedOnce) {
  const Tensor x = tensor_of({1.0, 0.0625}, {1, 2}, DType::bf16).to(Device::cuda);
  const Tensor w = tensor_of({1.0, 0.0625}, {1, 2}).to(Device::cuda);
  const Tensor b = Tensor::full({1}, 0x1p-10f, DType::f32, Device::cuda);
  EXPECT_EQ(values_of(backend(Device::cuda).linear(x, w, b)), std::vector<double>{1.0 + 0x1p-7});
}

TEST_F(PoolCuda, EmptyBatchesAreEmptyResults) {
  Backend& cuda = backend(Device::cuda);
  const Tensor none = Tensor::empty({0, 4, 4, 8}, DType::f32, Device::cuda);
  const auto pooled = cuda.max_pool2d(none, {});
  EXPECT_EQ(pooled.y.shape(), (Shape{0, 2, 2, 8}));
  EXPECT_EQ(cuda.max_pool2d_backward(pooled.y, pooled.index, {0, 4, 4, 8}, {}).elements(), 0);
  const Tensor y = cuda.global_avg_pool(none);
  EXPECT_EQ(y.shape(), (Shape{0, 8}));
  EXPECT_EQ(cuda.global_avg_pool_backward(y, {0, 4, 4, 8}).elements(), 0);
}

}  // namespace
}  // namespace cytograd
