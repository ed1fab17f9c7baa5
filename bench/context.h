// What a file of results says of where it comes from, and the limits that its figures are shares of.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/tensor.h"

namespace cytograd::bench {

/// That the program's sources are of, as `git describe --always --dirty` has it; "unknown" outside of its repository.
const char* commit();
/// That built it, with its options.
const char* compiler();

/// Measured in this process, once, when first asked for.
struct Limits {
  double copy = 0.0;    ///< bytes read and written a second by a copy of more than the caches hold
  double matmul = 0.0;  ///< operations a second of a large matrix product of the type
};
/// `smoke`: not measured, all one.
const Limits& limits_of(Device device, DType dtype, bool smoke);

/// Devices, driver, clocks, compiler, commit, by the names that report.py reads; the limits of `measured` devices.
std::vector<std::pair<std::string, std::string>> context(const std::vector<Device>& measured, bool smoke);

}  // namespace cytograd::bench
