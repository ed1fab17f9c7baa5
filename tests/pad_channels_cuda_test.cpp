// pad_channels: a matrix with more columns or fewer is the same but for zeros, and for what is left out.
#include <gtest/gtest.h>

#include "engine/backend_cuda.h"
#include "kernels/pad_channels.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd::test {
namespace {

TEST(PadChannelsCuda, AddsZerosOrLeavesOut) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  auto& cuda = dynamic_cast<CudaBackend&>(backend(Device::cuda));
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    // More rows than an emulated grid has threads; eights that are whole, broken, several.
    for (const auto& [rows, from, to] : std::vector<std::array<int64_t, 3>>{
             {70'000, 6, 8}, {300, 8, 6}, {5, 1, 8}, {7, 3, 3}, {9, 13, 16}, {11, 16, 5}, {1, 20, 24}}) {
      const Tensor x = normal({rows, from}, 1, dtype);
      const auto values = values_of(x);
      std::vector<double> expected;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < to; ++c)
          expected.push_back(c < from ? values[static_cast<size_t>(r * from + c)] : 0.0);
      }
      const Tensor there = x.to(Device::cuda);
      under_schedules([&](const std::string& schedule) {
        Tensor y = Tensor::empty({rows, to}, dtype, Device::cuda);
        launch_pad_channels({.x = there.raw(),
                             .y = y.raw(),
                             .rows = rows,
                             .x_channels = from,
                             .y_channels = to,
                             .type = element_type(dtype)},
                            cuda.stream());
        EXPECT_EQ(values_of(y.to(Device::cpu)), expected)
            << rows << " x " << from << " to " << to << ", " << dtype_name(dtype) << ", " << schedule;
      });
    }
  }
}

}  // namespace
}  // namespace cytograd::test
