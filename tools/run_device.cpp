#include "tools/run_device.h"

#include "engine/backend.h"
#include "engine/cpu_info.h"

namespace cytograd {

Device resolve_device(const std::string& name) {
  if (name == "cpu" || (name == "auto" && cuda_is_emulated())) return Device::cpu;
  const std::string reason = why_no_cuda();
  if (reason.empty()) return Device::cuda;
  if (name == "cuda") fail("--device cuda: {}; use --device cpu", reason);
  return Device::cpu;
}

DType resolve_dtype(const std::string& name, Device device) {
  if (name == "auto") {
    if (device == Device::cuda) return DType::bf16;
    return cpu_info().native_bf16 ? DType::bf16 : DType::f32;
  }
  const DType dtype = parse_dtype(name);
  if (dtype == DType::f16 && device == Device::cpu) fail("--dtype f16 needs a GPU; on a CPU use bf16 or f32");
  return dtype;
}

}  // namespace cytograd
