// Golden files: reference values that golden/make_golden.py computed in PyTorch, whole where they are small
// and as probes where they are large. golden/probe.py has the same rule.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/philox.h"
#include "engine/safetensors.h"
#include "tests/op_case.h"
#include "tests/support/paths.h"

namespace cytograd::test {

/// Differences of a tensor from its reference, each relative to what rounding would make of it.
struct GoldenError {
  double worst = 0.0;
  std::string what;  ///< of the worst

  void add(double error, const std::string& name) {
    if (error > worst || std::isnan(error)) {
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
      what = name;
    }
  }
};

constexpr size_t kProjections = 4;

/// Sums with random signs: one wrong element moves each of them by its error, wherever it lies.
inline std::array<double, kProjections> projections(const std::vector<float>& values) {
  Philox philox(hash("probe"));
  std::array<double, kProjections> sums{};
  for (const float v : values) {
    const uint32_t bits = philox.bits();
    for (size_t k = 0; k < kProjections; ++k) sums[k] += (bits >> k & 1u) != 0 ? -static_cast<double>(v) : v;
  }
  return sums;
}

/// `golden` holds all elements; or else l2 norm, largest magnitude, projections, and evenly spaced elements.
inline GoldenError golden_error(const std::vector<float>& values, const std::vector<float>& golden) {
  GoldenError error;
  if (golden.size() == values.size()) {
    error.add(relative_error(values, golden), "an element");
    return error;
  }
  constexpr size_t kHeader = 2 + kProjections;
  CHECK(golden.size() > kHeader && golden.size() < values.size(), "{} golden values for {} elements",
        golden.size(), values.size());
  const double norm = golden[0];
  const double scale = golden[1];
  const double n = std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0,
                                                std::plus<>(), [](double a, double b) { return a * b; }));
  // Probes are stored in f32: what that took from them is no error of ours.
  const auto distance = [](double value, float stored) {
    const double d =
        std::abs(value - static_cast<double>(stored)) - 0x1p-23 * std::abs(static_cast<double>(stored));
    return d <= 0.0 ? 0.0 : d;  // NaN stays
  };
  error.add(distance(n, golden[0]) / norm, "the norm");
  const auto sums = projections(values);
  for (size_t k = 0; k < kProjections; ++k)
    error.add(distance(sums[k], golden[2 + k]) / norm, "a projection");
  const size_t samples = golden.size() - kHeader;
  for (size_t i = 0; i < samples; ++i) {
    const double difference = static_cast<double>(values[i * values.size() / samples]) - golden[kHeader + i];
    error.add(std::abs(difference) / scale, "a sample");
  }
  return error;
}

inline std::vector<float> golden_values(const SafetensorsFile& file, const std::string& name) {
  const Tensor* tensor = file.find(name);
  CHECK(tensor != nullptr, "no '{}' in the golden file; run golden/make_golden.py", name);
  return tensor->to_vector<float>();
}

}  // namespace cytograd::test
