// Captured work: nothing runs while it is captured, and each launch computes anew from the tensors it was given.
#include <gtest/gtest.h>

#include "engine/backend.h"
#include "engine/check.h"
#include "engine/ops.h"
#include "tests/support/devices.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::devices;
using test::normal;
using test::values_of;

class Capture : public testing::TestWithParam<Device> {
 protected:
  Backend& device() const { return backend(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Devices, Capture, testing::ValuesIn(devices()),
                         [](const auto& each) { return std::string(device_name(each.param)); });

TEST_P(Capture, EachLaunchReadsTheInputsAnewAndWritesTheOutput) {
  const Tensor w = normal({4, 3, 3, 6}, 1).to(GetParam());
  Tensor x = Tensor::zeros({2, 9, 9, 6}, DType::f32, GetParam());
  Tensor y = Tensor::zeros({2, 9, 9, 4}, DType::f32, GetParam());
  const auto compute = [&](const Tensor& input) {
    // Two temporaries, one of which takes the storage the other gave back.
    return device().add(device().relu(device().conv2d(input, w, {.padding = 1})),
                        device().conv2d(input, w, {.padding = 1}));
  };
  const auto launch = device().capture([&] { device().copy(y, compute(x)); });
  for (const uint64_t seed : {2u, 3u, 4u}) {
    x.copy_from(normal({2, 9, 9, 6}, seed).to(GetParam()));
    launch();
    EXPECT_EQ(values_of(y.to(Device::cpu)), values_of(compute(x).to(Device::cpu))) << seed;
  }
}

TEST_P(Capture, WorkBesideItLeavesItsMemoryAlone) {
  const Tensor x = normal({1000}, 1).to(GetParam());
  Tensor y = Tensor::zeros({1000}, DType::f32, GetParam());
  const auto launch = device().capture([&] {
    const Tensor twice = device().add(x, x);
    device().copy(y, device().add(twice, x));
  });
  const Tensor kept =
      device().relu(normal({1000}, 2).to(GetParam()));  // would take a freed buffer of the capture's
  const auto before = values_of(kept.to(Device::cpu));
  launch();
  launch();
  EXPECT_EQ(values_of(kept.to(Device::cpu)), before);
  EXPECT_EQ(values_of(y.to(Device::cpu)), values_of(device().add(device().add(x, x), x).to(Device::cpu)));
}

// Work that is run aside computes in memory which captured work uses at its launches, whatever its sizes.
TEST_P(Capture, WorkAsideTakesNoMemoryOfItsOwn) {
  const auto compute = [&](const Tensor& x) {
    const Tensor twice = device().add(x, x);
    return device().add(device().relu(twice), device().add(twice, x));
  };
  const Tensor x = normal({100'000}, 1).to(GetParam());
  Tensor y = Tensor::zeros({100'000}, DType::f32, GetParam());
  const auto launch = device().capture([&] { device().copy(y, compute(x)); });
  const auto expected = values_of(compute(x).to(Device::cpu));
  for (const int64_t count : {99'999, 60'000, 100'000}) {
    const Tensor part = normal({count}, 2).to(GetParam());
    Tensor result = Tensor::zeros({count}, DType::f32, GetParam());
    const auto alone = values_of(compute(part).to(Device::cpu));
    if (GetParam() == Device::cuda) device().pool().trim();  // of what others have left
    device().run_aside([&] {
      const int64_t before = device().pool().statistics().system_allocations;
      device().copy(result, compute(part));
      EXPECT_EQ(device().pool().statistics().system_allocations, before) << count;
    });
    EXPECT_EQ(values_of(result.to(Device::cpu)), alone);
    const Tensor kept = device().add(x, x);  // in memory that is no graph's again
    launch();
    EXPECT_EQ(values_of(kept.to(Device::cpu)), values_of(device().add(x, x).to(Device::cpu)));
    EXPECT_EQ(values_of(y.to(Device::cpu)), expected);
  }
}

// A tensor that stayed would be overwritten at the next launch.
TEST(CaptureCuda, NoTensorOutlivesTheWorkAsideThatMadeIt) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  Backend& cuda = backend(Device::cuda);
  Tensor kept;
  EXPECT_THROW(cuda.run_aside([&] { kept = Tensor::zeros({3}, DType::f32, Device::cuda); }), CheckError);
  EXPECT_THROW(cuda.run_aside([&] { cuda.run_aside([] {}); }), CheckError);
  EXPECT_THROW(cuda.run_aside([&] { (void)cuda.capture([] {}); }), CheckError);
  EXPECT_THROW(cuda.capture([&] { cuda.run_aside([] {}); }), CheckError);
  EXPECT_THROW(cuda.run_aside([&] { fail("once"); }), Error) << "and the device goes on";
  kept = {};
  cuda.run_aside([&] { (void)Tensor::zeros({3}, DType::f32, Device::cuda); });
}

TEST(CaptureCuda, DeterministicAndAutotunedExcludeEachOther) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  EXPECT_THROW(backend(Device::cuda).set_options({.deterministic = true, .autotune = true}), Error);
}

// What kernels read of the host's values stays with the captured work, whatever takes memory after it.
TEST_P(Capture, KeepsTheTablesOfItsKernels) {
  const std::vector<View> views{{.mirror = true}, {.quarter_turns = 1}, {.gain = {2, 3, 4}}};
  const auto draw = [](uint64_t seed) {
    std::vector<uint8_t> pixels;
    for (const double v : values_of(normal({3, 8, 8, 3}, seed)))
      pixels.push_back(static_cast<uint8_t>(128.0 + 20.0 * v));
    return Tensor::from(pixels, {3, 8, 8, 3});
  };
  Tensor images = draw(1).to(GetParam());
  Tensor y = Tensor::zeros({3, 8, 8, 3}, DType::f32, GetParam());
  const auto launch = device().capture([&] { preprocess_into(y, images, views, {}); });
  for (const uint64_t seed : {2u, 3u}) {
    for (int64_t size = 1; size < 4096; size *= 2) (void)Tensor::full({size}, -1.0f, DType::f32, GetParam());
    images.copy_from(draw(seed));
    launch();
    const size_t before = device().pool().statistics().bytes_in_use;
    EXPECT_EQ(values_of(y.to(Device::cpu)), values_of(preprocess(images, views, {}).to(Device::cpu))) << seed;
    EXPECT_EQ(device().pool().statistics().bytes_in_use, before) << "only those that are captured stay";
  }
}

// They may take memory that work queued before has yet to write.
TEST_P(Capture, KeepsTablesInMemoryOfWorkQueuedBefore) {
  const std::vector<View> views{{.mirror = true}, {.quarter_turns = 1}, {.gain = {2, 3, 4}}};
  const Tensor images = Tensor::full({3, 8, 8, 3}, 100.0f, DType::u8, GetParam());
  const auto expected = values_of(preprocess(images, views, {}).to(Device::cpu));
  Tensor y = Tensor::zeros({3, 8, 8, 3}, DType::f32, GetParam());
  for (int64_t size = 1; size < 4096; size *= 2) (void)Tensor::full({size}, -1.0f, DType::f32, GetParam());
  const auto launch = device().capture([&] { preprocess_into(y, images, views, {}); });
  launch();
  EXPECT_EQ(values_of(y.to(Device::cpu)), expected);
}

TEST(CaptureCuda, WaitingForTheDeviceWithinItIsRefused) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  Backend& cuda = backend(Device::cuda);
  EXPECT_THROW(cuda.capture([&] { cuda.synchronize(); }), std::runtime_error);
  EXPECT_EQ(Tensor::full({3}, 2.0f, DType::f32, Device::cuda).to_vector<float>(), std::vector<float>(3, 2.0f))
      << "and the device goes on";
}

}  // namespace
}  // namespace cytograd
