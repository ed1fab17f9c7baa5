// channel_sums adds exactly what plain loops add, for every number of channels and pixels, on any number of threads.
#include "tests/support/channel_sums.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/backend.h"
#include "engine/ops.h"
#include "engine/parallel.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::plain_channel_sums;
using test::random_bytes;

std::vector<int64_t> channel_sums_of(const Tensor& x) {
  const int64_t channels = x.dim(x.rank() - 1);
  Tensor sums = Tensor::zeros({channels + 1, channels}, DType::i64);
  channel_sums(x, sums);
  return sums.to_vector<int64_t>();
}

// Whole and broken vectors, blocks and tasks.
TEST(ChannelSums, AreThoseOfPlainLoops) {
  for (const int threads : {1, 2, 3}) {
    const test::Threads limited(threads);
    for (int64_t channels = 1; channels <= 8; ++channels) {
      for (const int64_t pixels : test::kPixelCounts) {
        const Tensor x = random_bytes({pixels, channels}, 1);
        EXPECT_EQ(channel_sums_of(x), plain_channel_sums(x))
            << to_string(x.shape()) << ", " << threads << " threads";
      }
      const Tensor x = random_bytes({65'536 * 3 + 5'001, channels}, 2);
      EXPECT_EQ(channel_sums_of(x), plain_channel_sums(x))
          << to_string(x.shape()) << ", " << threads << " threads";
    }
  }
}

// The greatest values there are: sums of products beyond 32 bits, in lanes and in all.
TEST(ChannelSums, OfWhiteImagesDoNotOverflow) {
  for (int64_t channels = 1; channels <= 8; ++channels) {
    const Tensor x = Tensor::full({2, 350, 301, channels}, 255.0f, DType::u8);
    const int64_t pixels = 2 * 350 * 301;
    ASSERT_GT(pixels * 255 * 255, int64_t{UINT32_MAX});
    std::vector<int64_t> expected(static_cast<size_t>((channels + 1) * channels), pixels * 255 * 255);
    std::fill_n(expected.begin(), channels, pixels * 255);
    EXPECT_EQ(channel_sums_of(x), expected);
  }
}

TEST(ChannelSums, AddToWhatIsThere) {
  const Tensor a = random_bytes({33, 17, 6}, 3), b = random_bytes({100, 6}, 4);
  Tensor sums = Tensor::zeros({7, 6}, DType::i64);
  for (const Tensor& x : {a, b, a}) channel_sums(x, sums);
  std::vector<int64_t> expected(42);
  for (const Tensor& x : {a, b, a}) {
    const std::vector<int64_t> more = plain_channel_sums(x);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += more[i];
  }
  EXPECT_EQ(sums.to_vector<int64_t>(), expected);
}

TEST(ChannelSums, RefuseOtherShapesTypesAndDevices) {
  const auto run = [](const Tensor& x, Tensor sums) { channel_sums(x, sums); };
  const auto bytes = [](const Shape& shape) { return Tensor::zeros(shape, DType::u8); };
  const auto sums = [](const Shape& shape) { return Tensor::zeros(shape, DType::i64); };
  run(bytes({4, 3}), sums({4, 3}));
  EXPECT_THROW(run(bytes({}), sums({2, 1})), CheckError);
  EXPECT_THROW(run(bytes({4, 0}), sums({1, 0})), CheckError);
  EXPECT_THROW(run(bytes({4, 9}), sums({10, 9})), CheckError);
  EXPECT_THROW(run(bytes({4, 3}), sums({3, 4})), CheckError);
  EXPECT_THROW(run(bytes({4, 3}), sums({12})), CheckError);
  EXPECT_THROW(run(bytes({4, 3}), Tensor::zeros({4, 3}, DType::f32)), CheckError);
  EXPECT_THROW(run(Tensor::zeros({4, 3}, DType::f32), sums({4, 3})), CheckError);
  if (why_no_cuda().empty()) {
    EXPECT_THROW(run(bytes({4, 3}).to(Device::cuda), sums({4, 3})), CheckError);
  }
}

// A loop's threads are limited for the thread that begins it, and for no other.
TEST(LimitThreads, HoldsForTheCallingThread) {
  const test::Threads restored(2);
  int elsewhere = 0;
  std::thread([&] {
    limit_threads(1);
    elsewhere = cpu_threads();
  }).join();
  EXPECT_EQ(elsewhere, 1);
  EXPECT_EQ(cpu_threads(), 2);
  limit_threads(1);
  int ranges = 0;
  parallel_for(1000, 1, [&](int64_t, int64_t) { ++ranges; });
  EXPECT_EQ(ranges, 1);
}

}  // namespace
}  // namespace cytograd
