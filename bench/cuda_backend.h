// The GPU's own methods, for programs that have a CUDA backend.
#pragma once

#include "engine/backend_cuda.h"

namespace cytograd::bench {

/// Throws Error where there is no GPU.
inline CudaBackend& cuda() { return dynamic_cast<CudaBackend&>(backend(Device::cuda)); }

}  // namespace cytograd::bench
