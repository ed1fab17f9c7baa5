// The sizes that families are timed at: the op table's training sizes, and those of ResNets on images of 64 to 512
// pixels. The small one comes first.
#pragma once

#include <vector>

#include "bench/harness.h"
#include "bench/limits.h"
#include "tests/op_cases.h"

namespace cytograd::bench {

/// The table's cases of an op that are sizes from training.
inline std::vector<test::OpCase> realistic_cases(const std::string& op) {
  std::vector<test::OpCase> cases;
  for (const test::OpCase& c : test::op_cases()) {
    if (c.op == op && c.realistic) cases.push_back(c);
  }
  return cases;
}

/// Images of 224 and of 512 pixels in a batch, of which a GPU takes more.
inline int64_t batch_of_224(Device device) { return is_gpu(device) ? 256 : 16; }
inline int64_t batch_of_512(Device device) { return is_gpu(device) ? 64 : 4; }

/// Activations [N, H, W, C] of ResNet-18 at 64 and 128 pixels, batch 64, and of ResNet-50 at 224, batch 16 or 256, and
/// at 512, batch 4 or 64.
inline std::vector<Shape> activation_shapes(Device device) {
  const int64_t of_224 = batch_of_224(device), of_512 = batch_of_512(device);
  return {{1, 16, 16, 64},        {64, 16, 16, 64},       {64, 8, 8, 128},        {64, 2, 2, 512},
          {64, 32, 32, 64},       {of_224, 56, 56, 256},  {of_224, 14, 14, 1024}, {of_224, 7, 7, 2048},
          {of_512, 128, 128, 64}, {of_512, 128, 128, 256}};
}

/// A row for each pass of an op with weights; make(pass) is its work.
enum class DensePass : uint8_t { forward, backward_input, backward_weight };
template <typename Make>
void add_dense_rows(std::vector<Row>& rows, Row row, const Make& make) {
  constexpr std::pair<const char*, DensePass> kPasses[] = {{"forward", DensePass::forward},
                                                           {"backward_input", DensePass::backward_input},
                                                           {"backward_weight", DensePass::backward_weight}};
  for (const auto& [name, pass] : kPasses) {
    row.pass = name;
    row.make = [make, pass = pass] { return make(pass); };
    rows.push_back(row);
  }
}

/// f(device, dtype) for what this build has.
template <typename F>
void for_each_target(const F& f) {
  for (const Device device : devices()) {
    for (const DType dtype : dtypes(device)) f(device, dtype);
  }
}

}  // namespace cytograd::bench
