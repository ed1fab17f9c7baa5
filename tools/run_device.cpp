#include "tools/run_device.h"

#include "engine/cpu_info.h"

namespace cytograd {

std::string why_no_cuda() { return "this build has no CUDA backend"; }

Device resolve_device(const std::string& name) {
  if (name == "cuda") fail("--device cuda: {}; use --device cpu", why_no_cuda());
  return Device::cpu;
}

DType resolve_dtype(const std::string& name, Device) {
  if (name == "auto") return cpu_info().native_bf16 ? DType::bf16 : DType::f32;
  const DType dtype = parse_dtype(name);
  if (dtype == DType::f16) fail("--dtype f16 needs a GPU; on a CPU use bf16 or f32");
  return dtype;
}

}  // namespace cytograd
