#include "engine/backend_cuda.h"

#include "engine/cuda_libraries.h"

namespace cytograd {

CudaBackend::CudaBackend()
    : pool_(device::device_memory(), {.taken = device::taken, .given_back = device::given_back}),
      libraries_(std::make_unique<CudaLibraries>(stream_.get())) {}

CudaBackend::~CudaBackend() = default;

ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ElementType::f32;
    case DType::bf16:
      return ElementType::bf16;
    case DType::f16:
      return ElementType::f16;
    default:
      fail("{} is not a floating type", dtype_name(dtype));
  }
}

}  // namespace cytograd
