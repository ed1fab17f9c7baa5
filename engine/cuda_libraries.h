// cuBLASLt and cuDNN: handles, workspaces and plans by shape. In a build that emulates the GPU, nothing.
#pragma once

#include <memory>

#include "kernels/runtime.h"

namespace cytograd {

class CudaLibraries {
 public:
  explicit CudaLibraries(device::Stream stream);
  ~CudaLibraries();
  CudaLibraries(const CudaLibraries&) = delete;
  CudaLibraries& operator=(const CudaLibraries&) = delete;

  struct Handles;
  Handles& handles() { return *handles_; }

 private:
  std::unique_ptr<Handles> handles_;
};

}  // namespace cytograd
