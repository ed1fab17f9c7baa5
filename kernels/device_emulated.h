// device.cuh's part for a plain C++ compiler.
#pragma once

#include "kernels/emulator.h"
#include "kernels/runtime.h"

namespace cytograd {

struct LaunchConfig {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  device::Stream stream = nullptr;
};

/// Runs the kernel to its end. Throws emulator::Fault.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchConfig& config,
            Arguments... arguments) {
  const emulator::Launch where{name, config.grid, config.block, config.shared_bytes};
  emulator::queue([=] { emulator::run(where, [&] { kernel(static_cast<Parameters>(arguments)...); }); });
}

template <typename T>
T& block_shared() {
  static const char key = 0;
  return *static_cast<T*>(emulator::shared_storage(&key, sizeof(T)));
}

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::dynamic_storage());
}

inline void store16(void* p, const uint4& value) { *static_cast<uint4*>(p) = value; }

inline void copy16_async(void* shared, const void* global) {
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
}
inline void wait_copies() {}

template <typename T>
T* in_global(T* p) {
  return p;
}

inline int multiprocessors() { return device::info().multiprocessors; }

}  // namespace cytograd
