// A build with the CUDA backend, with a device or without one: what it says, and what it does where it is asked for
// one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/backend.h"
#include "tools/run_device.h"

namespace cytograd {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(CudaDevice, IsThereOrSaysWhyNot) {
  const std::string reason = why_no_cuda();
  if (reason.empty()) {
    EXPECT_FALSE(cuda_description().empty());
    EXPECT_EQ(backend(Device::cuda).device(), Device::cuda);
    EXPECT_EQ(resolve_device("cuda"), Device::cuda);
    EXPECT_EQ(resolve_device("auto"), cuda_is_emulated() ? Device::cpu : Device::cuda);
  } else {
    EXPECT_THAT([] { backend(Device::cuda); }, ThrowsMessage<Error>(HasSubstr(reason)));
    EXPECT_THAT(
        [] { resolve_device("cuda"); },
        ThrowsMessage<Error>(AllOf(HasSubstr("--device cuda: " + reason), HasSubstr("use --device cpu"))));
    EXPECT_EQ(resolve_device("auto"), Device::cpu);
  }
  EXPECT_EQ(resolve_device("cpu"), Device::cpu);
}

TEST(CudaDevice, ComputesInF16WhereACpuDoesNot) {
  EXPECT_EQ(resolve_dtype("f16", Device::cuda), DType::f16);
  EXPECT_EQ(resolve_dtype("auto", Device::cuda), DType::bf16);
  EXPECT_THROW(resolve_dtype("f16", Device::cpu), Error);
}

}  // namespace
}  // namespace cytograd
