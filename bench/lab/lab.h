// What the rows of variants share.
#pragma once

#include <string>

#include "bench/cases.h"
#include "bench/lab/variant.h"
#include "engine/backend_cuda.h"

namespace cytograd::bench {

inline CudaBackend& cuda() { return dynamic_cast<CudaBackend&>(backend(Device::cuda)); }

/// "", or how far `actual` is from `expected` where that is more than the case allows for.
inline std::string difference(const test::OpCase& op_case, const std::string& name, const Tensor& actual,
                              const Tensor& expected, double tolerance) {
  const double error = test::relative_error(test::values_of(actual), test::values_of(expected));
  if (error <= tolerance) return "";
  return fmt::format("{} of {} is off by {:.2g}, and {:.2g} is allowed", name, op_case.name, error,
                     tolerance);
}

}  // namespace cytograd::bench
