#include "engine/cublaslt.h"
#include "engine/cuda_libraries.h"
#include "engine/cudnn.h"

namespace cytograd {

struct CudaLibraries::Parts {
  explicit Parts(device::Stream stream) : convolutions(stream), products(stream) {}

  CudnnConvolutions convolutions;
  CublasLt products;
};

CudaLibraries::CudaLibraries(device::Stream stream) : parts_(std::make_unique<Parts>(stream)) {}
CudaLibraries::~CudaLibraries() = default;

void CudaLibraries::set_options(const DeviceOptions& options) { parts_->convolutions.set_options(options); }
void CudaLibraries::set_measuring(bool measuring) { parts_->convolutions.set_measuring(measuring); }
CudnnConvolutions& CudaLibraries::convolutions() { return parts_->convolutions; }
CublasLt& CudaLibraries::products() { return parts_->products; }

}  // namespace cytograd
