#include "engine/backend.h"

#include "engine/backend_cpu.h"

namespace cytograd {

// Backends live as long as the process: tensors in static storage may outlast any other order of destruction.
Backend& backend(Device device) {
  if (device == Device::cuda) fail("this build has no CUDA backend; use --device cpu");
  static CpuBackend& cpu = *new CpuBackend;  // NOLINT: never destroyed, see above
  return cpu;
}

}  // namespace cytograd
