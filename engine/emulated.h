// For ops/*_emulated.cpp: what a GPU's libraries would compute, by the CPU backend on copies, in the stream's order.
#pragma once

#include <cstring>

#include "engine/backend.h"
#include "engine/constant_weights.h"
#include "kernels/emulated_streams.h"

namespace cytograd::emulated {

/// A device tensor that compute(), which returns a CPU tensor, fills when the stream comes to it.
template <typename Compute>
Tensor queued(device::Stream stream, const Shape& shape, DType dtype, const Compute& compute) {
  Tensor y = Tensor::empty(shape, dtype, Device::cuda);
  // Raw: a captured tensor's storage goes back to its pool while the capture goes on, as on a GPU.
  emulator::queue(stream, [out = y.raw(), dtype, compute] {
    const PassingWeights passing;
    const Tensor result = compute();
    const Tensor converted = result.dtype() == dtype ? result : backend(Device::cpu).cast(result, dtype);
    std::memcpy(out, converted.raw(), converted.bytes());
  });
  return y;
}

/// A tensor's elements without a share in its storage.
class Operand {
 public:
  explicit Operand(const Tensor& x) : address_(x.raw()), shape_(x.shape()), dtype_(x.dtype()) {}
  /// A copy for the CPU backend, which has no f16: that becomes f32.
  Tensor read() const {
    Tensor host = Tensor::empty(shape_, dtype_);
    std::memcpy(host.raw(), address_, host.bytes());
    return dtype_ == DType::f16 ? backend(Device::cpu).cast(host, DType::f32) : host;
  }

 private:
  const void* address_;
  Shape shape_;
  DType dtype_;
};

}  // namespace cytograd::emulated
