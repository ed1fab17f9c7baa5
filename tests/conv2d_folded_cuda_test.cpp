// Folded convolutions: blocks of pixels, which the device makes, convolved by ones on the CPU are the convolution that
// they stand for, and its gradients.
#include "engine/ops/conv2d_folded_cuda.h"

#include <gtest/gtest.h>

#include "engine/backend_cuda.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd::test {
namespace {

struct Convolution {
  Shape x, w;
  Conv2dOptions options;
};

// Odd and even sizes, windows and paddings; strides that do not divide them; pixels that no window reads; channels that
// make blocks of whole eights and of broken ones. The last has more lines than an emulated grid has blocks.
const Convolution kConvolutions[] = {{{2, 17, 15, 6}, {8, 7, 7, 6}, {.stride = 2, .padding = 3}},
                                     {{2, 16, 18, 6}, {8, 7, 7, 6}, {.stride = 2, .padding = 3}},
                                     {{1, 11, 9, 1}, {3, 7, 5, 1}, {.stride = 2, .padding = 2}},
                                     {{2, 9, 8, 3}, {5, 3, 3, 3}, {.stride = 1, .padding = 1}},
                                     {{1, 10, 11, 5}, {6, 3, 3, 5}, {.stride = 3}},
                                     {{1, 8, 7, 9}, {4, 1, 1, 9}, {.stride = 2}},
                                     {{1, 4, 4, 3}, {2, 3, 3, 3}, {.stride = 2, .padding = 2}},
                                     {{2, 6, 6, 8}, {4, 4, 4, 8}, {.stride = 3, .padding = 4}},
                                     {{40, 13, 4, 2}, {2, 3, 3, 2}, {.stride = 2, .padding = 1}}};

class Conv2dFoldedCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};

double error(const Tensor& a, const Tensor& b) {
  return greatest_error(values_of(a.to(Device::cpu)), values_of(b));
}

TEST_F(Conv2dFoldedCuda, IsTheConvolutionAndHasItsGradients) {
  Backend& cpu = backend(Device::cpu);
  const device::Stream stream = dynamic_cast<CudaBackend&>(backend(Device::cuda)).stream();
  for (const Convolution& c : kConvolutions) {
    SCOPED_TRACE(
        fmt::format("x {}, w {}, stride {}, padding {}", c.x, c.w, c.options.stride, c.options.padding));
    const Tensor x = normal(c.x, 1), w = normal(c.w, 2);
    const Tensor y = cpu.conv2d(x, w, c.options);
    const Tensor dy = normal(y.shape(), 3);
    const Tensor dx = cpu.conv2d_backward_input(dy, w, c.x, c.options);
    const Tensor dw = cpu.conv2d_backward_weight(dy, x, w, c.options);
    const Fold fold(c.x, c.w, y.shape(), c.options);
    under_schedules([&](const std::string& schedule) {
      const Tensor x_blocks = fold.blocks_of_x(x.to(Device::cuda), stream).to(Device::cpu);
      const Tensor w_blocks = fold.blocks_of_w(w.to(Device::cuda), stream).to(Device::cpu);
      EXPECT_EQ(x_blocks.dim(3) % 8, 0);
      EXPECT_LE(error(cpu.conv2d(x_blocks, w_blocks, kFoldedOptions), y), 1e-5) << schedule;
      const Tensor dx_blocks = cpu.conv2d_backward_input(dy, w_blocks, x_blocks.shape(), kFoldedOptions);
      const Tensor dw_blocks = cpu.conv2d_backward_weight(dy, x_blocks, w_blocks, kFoldedOptions);
      EXPECT_LE(error(fold.x_of(dx_blocks.to(Device::cuda), stream), dx), 1e-5) << schedule;
      EXPECT_LE(error(fold.w_of(dw_blocks.to(Device::cuda), stream), dw), 1e-5) << schedule;
    });
  }
}

TEST_F(Conv2dFoldedCuda, In16BitsTheSameValuesMove) {
  const device::Stream stream = dynamic_cast<CudaBackend&>(backend(Device::cuda)).stream();
  for (const Convolution& c : kConvolutions) {
    const Fold fold(c.x, c.w, c.options.output_shape(c.x, c.w), c.options);
    for (const DType dtype : {DType::bf16, DType::f16}) {
      const Tensor narrow = normal(c.x, 1, dtype);
      const Tensor same = backend(Device::cpu).cast(narrow, DType::f32);
      EXPECT_EQ(values_of(fold.blocks_of_x(narrow.to(Device::cuda), stream).to(Device::cpu)),
                values_of(fold.blocks_of_x(same.to(Device::cuda), stream).to(Device::cpu)));
    }
  }
}

TEST_F(Conv2dFoldedCuda, IsForImagesIn16Bits) {
  EXPECT_TRUE(is_folded(6, DType::bf16, {.stride = 2, .padding = 3}));
  EXPECT_TRUE(is_folded(3, DType::f16, {}));
  EXPECT_TRUE(is_folded(8, DType::f16, {.stride = 2}));
  EXPECT_FALSE(is_folded(8, DType::f16, {}));
  EXPECT_FALSE(is_folded(64, DType::bf16, {.stride = 2}));
  EXPECT_FALSE(is_folded(6, DType::f32, {.stride = 2}));
}

}  // namespace
}  // namespace cytograd::test
