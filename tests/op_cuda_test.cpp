// Every op of the table on Device::cuda, a GPU or the emulator: against PyTorch in f64, in 16 bits against f32, and
// bitwise the same whatever order threads run in.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/backend.h"
#include "tests/golden_file.h"
#include "tests/op_cases.h"
#include "tests/support/schedules.h"

namespace cytograd::test {
namespace {

const SafetensorsFile& golden() {
  static const SafetensorsFile file = read_safetensors(golden_folder() / "ops.safetensors");
  return file;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class OpCuda : public testing::TestWithParam<OpCase> {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
    backend(Device::cuda).set_options({.deterministic = true});
  }

  /// The results of the case, which are the same under all schedules.
  static std::vector<NamedValues> results(RunOptions options) {
    options.device = Device::cuda;
    std::vector<NamedValues> first;
    under_schedules([&](const std::string& schedule) {
      const auto now = run_case(GetParam(), options);
      if (first.empty()) first = now;
      for (size_t i = 0; i < now.size(); ++i) {
        EXPECT_TRUE(same_bits(now[i].values, first[i].values))
            << now[i].name << " depends on the order of threads: " << schedule;
      }
    });
    return first;
  }
};

TEST_P(OpCuda, AgreesWithPyTorchInF64) {
  const OpCase& op_case = GetParam();
  for (const NamedValues& result : results({})) {
    const GoldenError error =
        golden_error(result.values, golden_values(golden(), op_case.name + "|" + result.name));
    EXPECT_LE(error.worst, op_case.tolerance)
        << result.name << ": " << error.what << "; the tolerance is for: " << op_case.tolerance_reason;
  }
}

TEST_P(OpCuda, In16BitsAgreesWithF32FromTheSameRoundedInputs) {
  const OpCase& op_case = GetParam();
  if (op_case.op == "cast" || op_case.op == "preprocess") GTEST_SKIP() << "has types of its own";
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const auto expected = run_case(op_case, {.dtype = DType::f32, .rounded = dtype});  // on the CPU
    const auto actual = results({.dtype = dtype, .rounded = dtype});
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      // f16 has three more bits than bf16.
      const double tolerance = dtype == DType::bf16 ? op_case.bf16_tolerance : op_case.bf16_tolerance / 8;
      EXPECT_LE(relative_error(actual[i].values, expected[i].values), tolerance)
          << dtype_name(dtype) << " " << actual[i].name
          << "; the tolerance is for: " << op_case.bf16_tolerance_reason;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, OpCuda, testing::ValuesIn(op_cases()),
                         [](const auto& each) { return test_name(each.param); });

}  // namespace
}  // namespace cytograd::test
