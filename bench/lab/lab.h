// What the rows of variants share.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/cuda_backend.h"
#include "bench/lab/difference.h"
#include "bench/lab/variant.h"
#include "tests/support/schedules.h"

namespace cytograd::bench {

/// "", or how far `actual` is from `expected` where that is more than is allowed.
inline std::string difference(const std::string& name, const Tensor& actual, const Tensor& expected,
                              double tolerance) {
  const double error = test::relative_error(test::values_of(actual), test::values_of(expected));
  if (error <= tolerance) return "";
  return fmt::format("{} is off by {:.2g}, and {:.2g} is allowed", name, error, tolerance);
}

/// The same of production's result on the device, element by element, for results of any size.
inline std::string difference_on_device(const std::string& name, const Tensor& actual,
                                        const Tensor& expected) {
  const double tolerance =
      actual.dtype() == DType::f32 ? 1e-5 : 0x1p-7;  // sums in another order, rounded once
  Tensor apart = Tensor::zeros({kDifferenceThreads}, DType::f32, Device::cuda);
  Tensor greatest = Tensor::zeros({kDifferenceThreads}, DType::f32, Device::cuda);
  launch_difference({.a = actual.raw(),
                     .b = expected.raw(),
                     .count = actual.elements(),
                     .type = element_type(actual.dtype()),
                     .apart = apart.data<float>(),
                     .greatest = greatest.data<float>()},
                    cuda().stream());
  const auto most = [](const Tensor& x) {
    const std::vector<float> values = x.to_vector<float>();
    return static_cast<double>(*std::max_element(values.begin(), values.end()));
  };
  const double error = most(apart) / most(greatest);
  if (error <= tolerance) return "";
  return fmt::format("{} is off from production's by {:.2g}, and {:.2g} is allowed", name, error, tolerance);
}

/// "", or that the results of `run` depend on the order in which threads and blocks run, or differ from one run to the
/// next. An emulator reads what it knows of its memory after each kernel, and throws Error. The last results are left
/// in `results`.
inline std::string unsteadiness(const std::function<std::vector<Tensor>()>& run,
                                std::vector<Tensor>& results) {
  std::optional<std::vector<Tensor>> first;
  std::string found;
  test::under_schedules([&](const std::string& order) {
    results.clear();
    for (const Tensor& result : run()) results.push_back(result.to(Device::cpu));
    if (!first) first = results;
    for (size_t i = 0; i < results.size() && found.empty(); ++i) {
      const auto bytes = [](const Tensor& x) { return static_cast<const char*>(x.raw()); };
      const Tensor &one = (*first)[i], &other = results[i];
      if (!std::equal(bytes(one), bytes(one) + one.bytes(), bytes(other)))
        found = fmt::format("result {} has other bits in the order '{}'", i, order);
    }
  });
  return found;
}

}  // namespace cytograd::bench
