#include "engine/backend_cuda.h"
#include "engine/cublaslt.h"
#include "engine/cuda_libraries.h"

namespace cytograd {

void CudaBackend::multiply_planes(const Tensor& planes, Tensor& grams) {
  libraries_->products().multiply_bytes(planes, grams);
}

}  // namespace cytograd
