// The devices that this build and machine have.
#pragma once

#include <vector>

#include "engine/backend.h"

namespace cytograd::test {

inline std::vector<Device> devices() {
  if (!why_no_cuda().empty()) return {Device::cpu};
  return {Device::cpu, Device::cuda};
}

}  // namespace cytograd::test
