// What is made of weights once, where they do not change: the same results, for as long, and no longer.
#include "engine/constant_weights.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/backend.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::values_of;

struct Case {
  Shape x;
  Shape w;
  Conv2dOptions options;
};

const Case kCases[] = {{{2, 12, 12, 32}, {32, 3, 3, 32}, {.stride = 1, .padding = 1}},
                       {{1, 5, 5, 16}, {16, 3, 3, 16}, {.stride = 1, .padding = 1}},
                       {{8, 14, 14, 64}, {64, 1, 1, 64}, {}},
                       {{4, 9, 9, 32}, {64, 3, 3, 32}, {.stride = 2, .padding = 1}},
                       {{16, 2, 2, 64}, {64, 3, 3, 64}, {.stride = 1, .padding = 1}},
                       {{2, 20, 20, 6}, {16, 7, 7, 6}, {.stride = 2, .padding = 3}},
                       {{2, 7, 7, 5}, {3, 3, 3, 5}, {.stride = 1, .padding = 1}}};

TEST(ConstantWeights, GiveTheSameBits) {
  for (const Device device : test::devices()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const Case& c : kCases) {
        const Tensor x = normal(c.x, 1, dtype).to(device), w = normal(c.w, 2).to(device);
        const Tensor rows = normal({5, 40}, 3, dtype).to(device), matrix = normal({7, 40}, 4).to(device);
        const Tensor bias = normal({7}, 5).to(device);
        Backend& backend_of = backend(device);
        const auto y = values_of(backend_of.conv2d(x, w, c.options));
        const auto z = values_of(backend_of.linear(rows, matrix, bias));
        const ConstantWeights constant;
        for (int pass = 0; pass < 3; ++pass) {
          EXPECT_EQ(values_of(backend_of.conv2d(x, w, c.options)), y) << to_string(c.w) << dtype_name(dtype);
          EXPECT_EQ(values_of(backend_of.linear(rows, matrix, bias)), z) << dtype_name(dtype);
        }
      }
    }
  }
}

// Such as the last batch of a dataset, whose shape may take another way or layout.
TEST(ConstantWeights, BatchesOfAnySizeShareThem) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Case& c : kCases) {
      const Tensor w = normal(c.w, 2);
      const ConstantWeights constant;
      for (const int64_t batch : {16, 3, 1, 16}) {
        const Tensor x = normal({batch, c.x[1], c.x[2], c.x[3]}, 1, dtype);
        const auto y = values_of(backend(Device::cpu).conv2d(x, w, c.options));
        std::vector<double> fresh;
        std::thread([&] { fresh = values_of(backend(Device::cpu).conv2d(x, w, c.options)); }).join();
        EXPECT_EQ(y, fresh) << batch << to_string(c.w) << dtype_name(dtype);
      }
    }
  }
}

/// How often something was made of w.
class Maker {
 public:
  void use(const Tensor& w, WeightForm form = WeightForm::panels) {
    ConstantWeights::made_of(w, form, [&] {
      ++made_;
      return Tensor::zeros({1000});
    });
  }
  int made() const { return made_; }

 private:
  int made_ = 0;
};

TEST(ConstantWeights, MakeEachFormOfEachOnce) {
  const Tensor w = Tensor::zeros({3}), other = Tensor::zeros({3});
  Maker maker;
  const auto use_all = [&] {
    for (const Tensor& weights : {w, other}) {
      maker.use(weights);
      maker.use(weights, WeightForm::onednn);
    }
  };
  use_all();
  use_all();
  EXPECT_EQ(maker.made(), 8);
  {
    const ConstantWeights constant;
    for (int i = 0; i < 3; ++i) use_all();
    EXPECT_EQ(maker.made(), 12);
    {
      const ConstantWeights inner;
      use_all();
    }
    use_all();
    EXPECT_EQ(maker.made(), 12) << "an inner one changes nothing";
    std::thread([&] { maker.use(w); }).join();
    EXPECT_EQ(maker.made(), 13) << "they are of one thread";
  }
  use_all();
  EXPECT_EQ(maker.made(), 17);
}

TEST(ConstantWeights, KeepNothingOfPassingOnes) {
  const Tensor w = Tensor::zeros({3});
  Maker maker;
  const ConstantWeights constant;
  {
    const PassingWeights passing;
    for (int i = 0; i < 2; ++i) maker.use(w);
    EXPECT_EQ(maker.made(), 2);
  }
  for (int i = 0; i < 2; ++i) maker.use(w);
  EXPECT_EQ(maker.made(), 3);
}

TEST(ConstantWeights, GiveTheirMemoryBack) {
  const BufferPool& pool = backend(Device::cpu).pool();
  const size_t before = pool.statistics().bytes_in_use;
  {
    const ConstantWeights constant;
    Maker maker;
    for (int i = 0; i < 4; ++i)
      maker.use(Tensor::zeros({8}));  // each is another, though the one before is let go
    EXPECT_EQ(maker.made(), 4);
    EXPECT_GT(pool.statistics().bytes_in_use, before + 4 * 4000);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, before);
}

TEST(ConstantWeights, ChangedOnesCountAfterwards) {
  for (const Case& c : kCases) {
    const Tensor x = normal(c.x, 1);
    Tensor w = normal(c.w, 2);
    const auto pass = [&] {
      const ConstantWeights constant;
      return values_of(backend(Device::cpu).conv2d(x, w, c.options));
    };
    const auto before = pass();
    w.copy_from(normal(c.w, 3));
    const auto after = pass();
    EXPECT_NE(before, after);
    EXPECT_EQ(after, values_of(backend(Device::cpu).conv2d(x, w, c.options)));
  }
}

}  // namespace
}  // namespace cytograd
