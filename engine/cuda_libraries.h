// What a GPU's libraries do for the CUDA backend. In a build that emulates the GPU, the CPU backend does it instead, in
// ops/*_emulated.cpp, and this holds nothing.
#pragma once

#include <memory>

#include "kernels/runtime.h"

namespace cytograd {

class CublasLt;
class CudnnConvolutions;

struct CudaOptions {
  bool deterministic = false;  ///< only algorithms that give the same bits each time
  bool autotune = false;       ///< measure the candidates for each new convolution and keep the fastest
};

class CudaLibraries {
 public:
  explicit CudaLibraries(device::Stream stream);
  ~CudaLibraries();
  CudaLibraries(const CudaLibraries&) = delete;
  CudaLibraries& operator=(const CudaLibraries&) = delete;

  void set_options(const CudaOptions& options);
  CudnnConvolutions& convolutions();
  CublasLt& products();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cytograd
