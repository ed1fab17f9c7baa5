// Batches that follow each other to the device arrive whole, whatever their sizes, and so do results on their way back.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/backend.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

class Upload : public testing::TestWithParam<Device> {};

INSTANTIATE_TEST_SUITE_P(Devices, Upload, testing::ValuesIn(test::devices()),
                         [](const auto& each) { return std::string(device_name(each.param)); });

TEST_P(Upload, EachBatchArrivesAndTheOneBeforeIsStillThere) {
  Backend& device = backend(GetParam());
  Tensor before;
  std::vector<float> before_values;
  uint64_t seed = 0;
  for (const int64_t size : {1000, 1000, 1000, 5, 70001, 12, 70001}) {
    const Tensor host = test::normal({size}, ++seed);
    const Tensor here = device.upload(host);
    EXPECT_EQ(here.device(), GetParam());
    EXPECT_EQ(here.shape(), host.shape());
    if (before.defined()) {
      EXPECT_EQ(before.to_vector<float>(), before_values);
    }
    EXPECT_EQ(device.add(here, here).to_vector<float>(),
              backend(Device::cpu).add(host, host).to_vector<float>());
    before = here;
    before_values = host.to_vector<float>();
  }
}

// What was staged is copied from where it is, and its memory is not given away before.
TEST_P(Upload, StagedBatchesArriveThoughTheyAreLetGo) {
  Backend& device = backend(GetParam());
  Tensor sum = Tensor::zeros({5000}, DType::f32, GetParam());
  std::vector<float> due(5000);
  for (int i = 0; i < 20; ++i) {
    Tensor staged = device.staging({5000}, DType::f32);
    EXPECT_EQ(staged.device(), Device::cpu);
    for (size_t j = 0; j < 5000; ++j) {
      staged.data<float>()[j] = static_cast<float>(i * 7 + static_cast<int>(j) % 11);
      due[j] += staged.data<float>()[j];
    }
    const Tensor here = device.upload(staged);
    staged = Tensor();
    sum = device.add(sum, here);
  }
  EXPECT_EQ(sum.to_vector<float>(), due);
}

// On a GPU the host is far ahead: batches wait for readers that have not begun, and readers for batches on their way.
TEST_P(Upload, BatchesArriveBehindWorkThatTakesLong) {
  Backend& device = backend(GetParam());
  const bool slow = GetParam() == Device::cpu || cuda_is_emulated();
  const int64_t size = slow ? 1000 : int64_t{1} << 24;
  Tensor sum = Tensor::zeros({size}, DType::f32, GetParam());
  Tensor other = Tensor::full({2 * size}, 1.0f, DType::f32, GetParam());
  float due = 0.0f;
  for (int i = 1; i <= 8; ++i) {
    Tensor staged = device.staging({size}, DType::f32);
    std::fill_n(staged.data<float>(), size, static_cast<float>(i * i));
    due += static_cast<float>(i * i);
    const Tensor here = device.upload(staged);
    staged = Tensor();
    sum = device.add(sum, here);
    for (int k = 0; k < (slow ? 1 : 1000); ++k) other = device.relu(other);
  }
  EXPECT_EQ(sum.to_vector<float>(), std::vector<float>(static_cast<size_t>(size), due));
}

TEST_P(Upload, WhatIsReadLaterIsWhatItWasWhenItWasAskedFor) {
  Backend& device = backend(GetParam());
  Tensor a = Tensor::zeros({}, DType::f32, GetParam());
  Tensor b = Tensor::zeros({2}, DType::f32, GetParam());
  std::vector<std::function<std::vector<float>()>> pending;
  for (int i = 0; i < 12; ++i) {
    const auto value = static_cast<float>(i);
    device.fill(a, value);
    device.fill(b, -value);
    pending.push_back(device.read_later(std::vector<Tensor>{b, a}));
    if (i == 5) pending[3] = nullptr;  // given up unread
    if (i % 4 == 3) {
      EXPECT_EQ(pending[static_cast<size_t>(i - 1)](), (std::vector<float>{1 - value, 1 - value, value - 1}));
      pending[static_cast<size_t>(i - 1)] = nullptr;
    }
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    const auto value = static_cast<float>(i);
    if (pending[i]) {
      EXPECT_EQ(pending[i](), (std::vector<float>{-value, -value, value}));
    }
  }
  EXPECT_EQ(device.read_later(std::vector<Tensor>{Tensor::full({300}, 2.0f, DType::f32, GetParam())})(),
            std::vector<float>(300, 2.0f));
  EXPECT_TRUE(device.read_later({})().empty());
}

// The pinned memory of one that is given up is let go where a larger one follows, but not before its copy has arrived.
TEST_P(Upload, OneGivenUpUnreadMakesWayForALargerOne) {
  Backend& device = backend(GetParam());
  for (const int64_t size : {1000, 2000, 4000}) {
    const Tensor x = Tensor::full({size}, 1.0f, DType::f32, GetParam());
    (void)device.read_later(std::vector<Tensor>{device.add(x, x)});
  }
  const Tensor x = Tensor::full({8000}, 3.0f, DType::f32, GetParam());
  EXPECT_EQ(device.read_later(std::vector<Tensor>{x})(), std::vector<float>(8000, 3.0f));
}

TEST_P(Upload, ACopyToPinnedMemoryIsDoneOnReturn) {
  Backend& device = backend(GetParam());
  Tensor staged = device.staging({5000}, DType::f32);
  std::fill_n(staged.data<float>(), 5000, 0.0f);
  const Tensor x = Tensor::full({5000}, 1.0f, DType::f32, GetParam());
  device.copy_to_host(device.add(x, x), staged.raw());
  EXPECT_EQ(staged.to_vector<float>(), std::vector<float>(5000, 2.0f));
}

}  // namespace
}  // namespace cytograd
