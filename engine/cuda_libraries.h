// What a GPU's libraries do for the CUDA backend. In a build that emulates the GPU, the CPU backend does it instead, in
// ops/*_emulated.cpp, and this holds nothing.
#pragma once

#include <memory>

#include "engine/op_options.h"
#include "kernels/runtime.h"

namespace cytograd {

class CublasLt;
class CudnnConvolutions;

class CudaLibraries {
 public:
  explicit CudaLibraries(device::Stream stream);
  ~CudaLibraries();
  CudaLibraries(const CudaLibraries&) = delete;
  CudaLibraries& operator=(const CudaLibraries&) = delete;

  void set_options(const DeviceOptions& options);
  /// Whether DeviceOptions::autotune measures new convolutions; at first it does.
  void set_measuring(bool measuring);
  CudnnConvolutions& convolutions();
  CublasLt& products();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cytograd
