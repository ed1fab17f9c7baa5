// Every op of the table, forward and backward, against PyTorch in f64 from the same f32 inputs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/golden_file.h"
#include "tests/op_cases.h"
#include "tests/support/temp_dir.h"

namespace cytograd::test {
namespace {

const SafetensorsFile& golden() {
  static const SafetensorsFile file = read_safetensors(golden_folder() / "ops.safetensors");
  return file;
}

class OpGolden : public testing::TestWithParam<OpCase> {};

TEST_P(OpGolden, AgreesWithPyTorchInF64) {
  const OpCase& op_case = GetParam();
  for (const NamedValues& result : run_case(op_case)) {
    const GoldenError error =
        golden_error(result.values, golden_values(golden(), op_case.name + "|" + result.name));
    EXPECT_LE(error.worst, op_case.tolerance)
        << result.name << ": " << error.what << "; the tolerance is for: " << op_case.tolerance_reason;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, OpGolden, testing::ValuesIn(op_cases()),
                         [](const auto& each) { return test_name(each.param); });

class OpBf16 : public testing::TestWithParam<OpCase> {};

TEST_P(OpBf16, AgreesWithF32FromTheSameRoundedInputs) {
  const OpCase& op_case = GetParam();
  const auto expected = run_case(op_case, {.dtype = DType::f32, .rounded = DType::bf16});
  const auto actual = run_case(op_case, {.dtype = DType::bf16, .rounded = DType::bf16});
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(relative_error(actual[i].values, expected[i].values), op_case.bf16_tolerance)
        << actual[i].name << "; the tolerance is for: " << op_case.bf16_tolerance_reason;
  }
}

std::vector<OpCase> bf16_cases() {
  std::vector<OpCase> cases;
  std::copy_if(op_cases().begin(), op_cases().end(), std::back_inserter(cases),
               [](const OpCase& c) { return c.op != "cast" && c.op != "preprocess"; });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, OpBf16, testing::ValuesIn(bf16_cases()),
                         [](const auto& each) { return test_name(each.param); });

TEST(PreprocessTypes, EachIsTheF32ResultRoundedOnce) {
  const CaseInput input{.name = "images",
                        .shape = {2, 9, 7, 6},
                        .role = Role::constant,
                        .fill = Fill::below,
                        .range = 256,
                        .dtype = DType::u8};
  const Tensor images = tensor_of(draw_values(input, "types"), input.shape, DType::u8, Device::cpu);
  const std::vector<View> views(2);
  const std::vector<float> f32 = values_of(preprocess(images, views, {}));
  for (const DType dtype : {DType::bf16, DType::f16}) {
    PreprocessOptions options;
    options.dtype = dtype;
    std::vector<float> expected = f32;
    round_through(expected, dtype);
    EXPECT_EQ(values_of(preprocess(images, views, options)), expected) << dtype_name(dtype);
  }
}

/// The table as the golden script reads it.
nlohmann::ordered_json table_as_json() {
  const auto fill = [](Fill f) {
    return std::array{"uniform", "split", "distinct", "below"}.at(static_cast<size_t>(f));
  };
  const auto role = [](Role r) {
    return std::array{"activation", "parameter", "constant"}.at(static_cast<size_t>(r));
  };
  auto table = nlohmann::ordered_json::array();
  for (const OpCase& c : op_cases()) {
    auto inputs = nlohmann::ordered_json::array();
    for (const CaseInput& input : c.inputs) {
      const auto dims = input.shape.dims();
      inputs.push_back({{"name", input.name},
                        {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                        {"role", role(input.role)},
                        {"fill", fill(input.fill)},
                        {"low", input.low},
                        {"range", input.range}});
    }
    table.push_back({{"name", c.name},
                     {"op", c.op},
                     {"differentiable", c.differentiable},
                     {"attributes", c.attributes},
                     {"inputs", inputs}});
  }
  return table;
}

TEST(OpTable, NamesAreUnique) {
  std::map<std::string, int> count;
  for (const OpCase& c : op_cases()) EXPECT_EQ(++count[test_name(c)], 1) << c.name;
}

TEST(OpTable, HasEveryOpThatATapeRecords) {
  const std::filesystem::path folder = golden_folder() / "../../engine/ops";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "the sources are elsewhere";
  std::set<std::string> in_table;
  for (const OpCase& c : op_cases()) in_table.insert(c.op);
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string text = entry.path().extension() == ".cpp" ? read_file(entry.path()) : "";
    constexpr std::string_view kCall = " record(";
    for (size_t at = text.find(kCall); at != std::string::npos; at = text.find(kCall, at + 1)) {
      const size_t open = text.find_first_not_of(" \n", at + kCall.size());
      ASSERT_EQ(text[open], '"') << entry.path() << ": a name is expected first";
      const std::string op = text.substr(open + 1, text.find('"', open + 1) - open - 1);
      EXPECT_TRUE(in_table.contains(op)) << "op_cases.h has no rows of " << op << ", so nothing tests it";
      ++found;
    }
  }
  EXPECT_GE(found, 10);
}

// golden/op_cases.json carries the table to the script. CYTOGRAD_WRITE_GOLDEN=1 rewrites it.
TEST(OpTable, GoldenFilesAreOfThisTable) {
  const auto path = golden_folder() / "op_cases.json";
  if (std::getenv("CYTOGRAD_WRITE_GOLDEN") != nullptr) {
    std::ofstream out(path);
    out << "[\n";
    const auto table = table_as_json();
    for (size_t i = 0; i < table.size(); ++i)
      out << table[i].dump() << (i + 1 < table.size() ? ",\n" : "\n]\n");
    ASSERT_TRUE(out.good()) << path;
  }
  std::ifstream in(path);
  ASSERT_TRUE(in.good()) << path;
  EXPECT_EQ(nlohmann::ordered_json::parse(in), table_as_json())
      << "the table has changed: see tests/README.md on golden files";
}

TEST(OpTable, GoldenResultsAreOfItsRows) {
  std::set<std::string> rows;
  for (const OpCase& c : op_cases()) rows.insert(c.name);
  for (const auto& [name, tensor] : golden().tensors) {
    const std::string row = name.substr(0, name.find('|'));
    EXPECT_TRUE(rows.contains(row)) << row
                                    << " is in no row of the table: see tests/README.md on golden files";
  }
}

}  // namespace
}  // namespace cytograd::test
