// Fills and copies.
#include "engine/backend_cuda.h"
#include "kernels/elementwise.h"

namespace cytograd {
namespace {

/// The bits of `value` as an element.
uint64_t element_bits(float value, DType dtype) {
  switch (dtype) {
    case DType::u8:
      return static_cast<uint8_t>(value);
    case DType::i32:
      return static_cast<uint32_t>(static_cast<int32_t>(value));
    case DType::i64:
      return static_cast<uint64_t>(static_cast<int64_t>(value));
    case DType::f32:
      return std::bit_cast<uint32_t>(value);
    case DType::bf16:
      return bf16(value).bits;
    case DType::f16:
      return f16(value).bits;
  }
  return 0;
}

}  // namespace

void CudaBackend::fill(Tensor& x, float value) {
  const device::Range range("fill");
  launch_fill({.y = x.raw(),
               .count = x.elements(),
               .bits = element_bits(value, x.dtype()),
               .bytes = static_cast<int>(size_of(x.dtype()))},
              stream());
}

void CudaBackend::copy(Tensor& destination, const Tensor& source) {
  device::copy(destination.raw(), source.raw(), source.bytes(), stream());
}

void CudaBackend::copy_from_host(Tensor& destination, const void* source) {
  device::copy(destination.raw(), source, destination.bytes(), stream());
}

void CudaBackend::copy_to_host(const Tensor& source, void* destination) {
  device::copy(destination, source.raw(), source.bytes(), stream());
  synchronize();
}

}  // namespace cytograd
