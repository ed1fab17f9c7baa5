// For ops/*_emulated.cpp: what a GPU's libraries would compute, by the CPU backend on copies.
#pragma once

#include "engine/backend.h"

namespace cytograd::emulated {

/// A copy for the CPU backend, which has no f16: that becomes f32.
inline Tensor to_cpu(const Tensor& x) {
  if (!x.defined()) return {};
  const Tensor host = x.to(Device::cpu);
  return host.dtype() == DType::f16 ? backend(Device::cpu).cast(host, DType::f32) : host;
}

/// The CPU backend's result as a device tensor of `dtype`.
inline Tensor to_device(const Tensor& y, DType dtype) {
  return (y.dtype() == dtype ? y : backend(Device::cpu).cast(y, dtype)).to(Device::cuda);
}

}  // namespace cytograd::emulated
