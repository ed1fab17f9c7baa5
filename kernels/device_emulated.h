// device.cuh's part for a plain C++ compiler.
#pragma once

#include "kernels/emulated_streams.h"
#include "kernels/emulator.h"
#include "kernels/runtime.h"

namespace cytograd {

struct LaunchConfig {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  device::Stream stream = nullptr;
};

/// Throws emulator::Fault, at once or, on a late stream, where it is waited for.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchConfig& config,
            Arguments... arguments) {
  const emulator::Launch where{name, config.grid, config.block, config.shared_bytes};
  emulator::queue(config.stream,
                  [=] { emulator::run(where, [&] { kernel(static_cast<Parameters>(arguments)...); }); });
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

/// All bits set in each half of the result where test(that half of a, of b), both T, holds.
template <typename T, typename Test>
uint32_t halves_where(uint32_t a, uint32_t b, const Test& test) {
  uint32_t result = 0;
  for (int i = 0; i < 32; i += 16) {
    T of_a, of_b;
    of_a.bits = static_cast<uint16_t>(a >> i);
    of_b.bits = static_cast<uint16_t>(b >> i);
    if (test(static_cast<float>(of_a), static_cast<float>(of_b))) result |= 0xffffu << i;
  }
  return result;
}
template <typename T>
uint32_t halves_greater(uint32_t a, uint32_t b) {
  return halves_where<T>(a, b, [](float of_a, float of_b) { return of_a > of_b; });
}
template <typename T>
uint32_t halves_nan(uint32_t v) {
  return halves_where<T>(v, v, [](float of_v, float) { return of_v != of_v; });
}

inline int multiprocessors() { return device::info().multiprocessors; }

}  // namespace cytograd
