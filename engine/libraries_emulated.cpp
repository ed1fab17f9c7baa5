#include "engine/cuda_libraries.h"

namespace cytograd {

struct CudaLibraries::Parts {};

CudaLibraries::CudaLibraries(device::Stream) {}
CudaLibraries::~CudaLibraries() = default;
void CudaLibraries::set_options(const DeviceOptions&) {}
void CudaLibraries::set_measuring(bool) {}

}  // namespace cytograd
