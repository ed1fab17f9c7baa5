#include "engine/cuda_libraries.h"

namespace cytograd {

struct CudaLibraries::Handles {};

CudaLibraries::CudaLibraries(device::Stream) {}
CudaLibraries::~CudaLibraries() = default;

}  // namespace cytograd
