// Batches that follow each other to the device arrive whole, whatever their sizes.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace cytograd
