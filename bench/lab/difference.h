// How far two arrays on a device are apart: for results of timed sizes, which would take seconds to read back.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd::bench {

/// How many partial results there are at most; of smaller arrays the rest is left as it was.
inline constexpr int64_t kDifferenceThreads = 65'536;

struct DifferenceArguments {
  const void* a = nullptr;
  const void* b = nullptr;
  int64_t count = 0;
  ElementType type = ElementType::f32;
  float* apart = nullptr;     ///< [kDifferenceThreads]: greatest |a - b| a thread saw; infinite for NaN
  float* greatest = nullptr;  ///< likewise, |b|
};
void launch_difference(const DifferenceArguments& arguments, device::Stream stream);

}  // namespace cytograd::bench
