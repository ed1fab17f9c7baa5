#include "engine/backend.h"

#include "engine/backend_cpu.h"
#ifdef CYTOGRAD_CUDA
#include "engine/backend_cuda.h"
#endif

namespace cytograd {

// Backends live as long as the process: tensors in static storage may outlast any other order of destruction.
// NOLINTBEGIN(clang-analyzer-cplusplus.NewDeleteLeaks)
#ifdef CYTOGRAD_CUDA
namespace {
Backend& cuda_backend() {
  // The driver is asked once, until it has a GPU: every op comes by here.
  static CudaBackend& cuda = []() -> CudaBackend& {
    if (const std::string reason = why_no_cuda(); !reason.empty()) fail("no GPU can be used: {}", reason);
    return *new CudaBackend;
  }();
  return cuda;
}
}  // namespace

std::string why_no_cuda() { return device::why_unavailable(); }
bool cuda_is_emulated() { return why_no_cuda().empty() && device::info().emulated; }
std::string cuda_description() {
  if (const std::string reason = why_no_cuda(); !reason.empty()) fail("{}", reason);
  const device::Info& info = device::info();
  if (info.emulated) return info.name;
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.0f} GiB; {}", info.name,
                     info.major, info.minor, info.multiprocessors,
                     static_cast<double>(info.memory_bytes) / 0x1p30, info.software);
}
#else
namespace {
Backend& cuda_backend() { fail("{}", why_no_cuda()); }
}  // namespace

std::string why_no_cuda() { return "this build has no CUDA backend (configure with -DCYTOGRAD_CUDA=ON)"; }
bool cuda_is_emulated() { return false; }
std::string cuda_description() { fail("{}", why_no_cuda()); }
#endif

Backend& backend(Device device) {
  if (device == Device::cuda) return cuda_backend();
  static CpuBackend& cpu = *new CpuBackend;
  return cpu;
}
// NOLINTEND(clang-analyzer-cplusplus.NewDeleteLeaks)

Backend& backend_of(std::initializer_list<const Tensor*> tensors) {
  const Device device = (*tensors.begin())->device();
  for (const Tensor* const x : tensors) {
    CHECK(x->defined());
    CHECK(x->device() == device, "{} on {}, another on {}", x->shape(), device_name(x->device()),
          device_name(device));
  }
  return backend(device);
}

}  // namespace cytograd
