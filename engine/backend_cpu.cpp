#include "engine/backend_cpu.h"

#include "engine/onednn.h"

namespace cytograd {

CpuBackend::CpuBackend() : pool_(host_memory()), plans_(std::make_unique<OnednnPlans>()) {}

CpuBackend::~CpuBackend() = default;

}  // namespace cytograd
