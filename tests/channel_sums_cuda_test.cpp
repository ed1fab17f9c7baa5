// channel_sums on Device::cuda is exactly the CPU's, by the kernel and by the matrix product, in any order of threads;
// the CPU's is tested against plain loops in channel_sums_test.
#include <gtest/gtest.h>

#include "engine/backend_cuda.h"
#include "engine/ops.h"
#include "kernels/channel_sums.h"
#include "tests/support/channel_sums.h"
#include "tests/support/schedules.h"

namespace cytograd {
namespace {

using test::random_bytes;
using test::under_schedules;

constexpr ChannelSumsMethod kMethods[] = {ChannelSumsMethod::kernel, ChannelSumsMethod::gemm};

std::string name_of(ChannelSumsMethod method) {
  return method == ChannelSumsMethod::kernel ? "kernel" : "gemm";
}

class ChannelSumsCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};

/// Two additions of x to sums that are not zero at the start.
void expect_as_on_cpu(const Tensor& x) {
  const int64_t channels = x.dim(x.rank() - 1);
  const Tensor before = Tensor::full({channels + 1, channels}, 5.0f, DType::i64);
  Tensor expected = before.clone();
  for (int i = 0; i < 2; ++i) channel_sums(x, expected);
  const Tensor there = x.to(Device::cuda);
  auto& cuda = dynamic_cast<CudaBackend&>(backend(Device::cuda));
  for (const ChannelSumsMethod method : kMethods) {
    under_schedules([&](const std::string& schedule) {
      Tensor sums = before.to(Device::cuda);
      for (int i = 0; i < 2; ++i) cuda.channel_sums_by(method, there, sums);
      EXPECT_EQ(sums.to_vector<int64_t>(), expected.to_vector<int64_t>())
          << to_string(x.shape()) << " by " << name_of(method) << ", " << schedule;
    });
  }
}

// Tiles and chunks, whole and broken.
TEST_F(ChannelSumsCuda, IsTheCpusByBothMethods) {
  for (int64_t channels = 1; channels <= 8; ++channels) {
    for (const int64_t pixels : test::kPixelCounts) {
      expect_as_on_cpu(random_bytes({pixels, channels}, 1));
    }
  }
  expect_as_on_cpu(random_bytes({3, 301, 150, 5}, 2));
  expect_as_on_cpu(random_bytes({65'536, 1}, 3));
}

// The greatest values there are: a chunk's product in the matrix fills 31 bits.
TEST_F(ChannelSumsCuda, BlackAndWhiteImages) {
  for (const float value : {0.0f, 255.0f}) {
    expect_as_on_cpu(Tensor::full({2, 256, 256, 3}, value, DType::u8));
    expect_as_on_cpu(Tensor::full({4'099, 8}, value, DType::u8));
  }
}

// More pixels than a warp's sums of squares hold in 32 bits, and than chunks are in memory at once.
TEST_F(ChannelSumsCuda, MillionsOfPixels) {
  Tensor x = Tensor::full({64 * kMaxPlanePixels + 400'000, 1}, 255.0f, DType::u8);
  x.data<uint8_t>()[x.elements() - 1] = 1;
  Tensor expected = Tensor::zeros({2, 1}, DType::i64);
  channel_sums(x, expected);
  auto& cuda = dynamic_cast<CudaBackend&>(backend(Device::cuda));
  for (const ChannelSumsMethod method : kMethods) {
    Tensor sums = Tensor::zeros({2, 1}, DType::i64, Device::cuda);
    cuda.channel_sums_by(method, x.to(Device::cuda), sums);
    EXPECT_EQ(sums.to_vector<int64_t>(), expected.to_vector<int64_t>()) << name_of(method);
  }
}

TEST_F(ChannelSumsCuda, TheOpIsTheKernel) {
  const Tensor x = random_bytes({70, 30, 6}, 4);
  Tensor expected = Tensor::zeros({7, 6}, DType::i64);
  channel_sums(x, expected);
  Tensor sums = Tensor::zeros({7, 6}, DType::i64, Device::cuda);
  channel_sums(x.to(Device::cuda), sums);
  EXPECT_EQ(sums.to_vector<int64_t>(), expected.to_vector<int64_t>());
}

// Kernels take any address, and add nothing that lies before or behind the pixels.
TEST_F(ChannelSumsCuda, UnalignedPixels) {
  constexpr int64_t kPixels = 4'097, kChannels = 6;
  const Tensor x = random_bytes({kPixels, kChannels}, 5);
  Tensor expected = Tensor::zeros({kChannels + 1, kChannels}, DType::i64);
  channel_sums(x, expected);
  const device::StreamHandle stream;
  for (int64_t offset = 1; offset < 16; offset += 7) {
    under_schedules([&](const std::string& schedule) {
      Tensor there = Tensor::full({offset + kPixels * kChannels + 16}, 255.0f, DType::u8, Device::cuda);
      Tensor sums = Tensor::zeros(expected.shape(), DType::i64, Device::cuda);
      backend(Device::cuda).synchronize();
      device::copy(there.data<uint8_t>() + offset, x.raw(), x.bytes(), stream.get());
      launch_channel_sums({.x = there.data<uint8_t>() + offset,
                           .sums = sums.data<int64_t>(),
                           .pixels = kPixels,
                           .channels = kChannels},
                          stream.get());
      device::synchronize(stream.get());
      EXPECT_EQ(sums.to_vector<int64_t>(), expected.to_vector<int64_t>()) << offset << ", " << schedule;
    });
  }
}

}  // namespace
}  // namespace cytograd
