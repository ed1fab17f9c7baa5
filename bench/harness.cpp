#include "bench/harness.h"

#include <algorithm>

#include "bench/cuda_timer.h"
#include "engine/backend.h"
#include "engine/cpu_info.h"
#include "engine/parallel.h"
#include "engine/philox.h"

namespace cytograd::bench {
namespace {

/// Values of a large tensor repeat after so many: a prime, so that rows differ.
constexpr int64_t kDrawn = 4'194'301;

template <typename T, typename Draw>
Tensor drawn(const Shape& shape, uint64_t seed, const Draw& draw) {
  constexpr int64_t kChunk = 4096;
  Tensor x = Tensor::empty(shape, DTypeOf<T>::value);
  T* values = x.data<T>();
  const int64_t elements = x.elements();
  parallel_for(std::min(elements, kDrawn), kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kChunk) {
      Philox random(seed, static_cast<uint64_t>(first / kChunk));
      for (int64_t i = first; i < std::min(first + kChunk, end); ++i) values[i] = draw(random);
    }
  });
  for (int64_t have = kDrawn; have < elements; have *= 2)
    std::copy_n(values, std::min(have, elements - have), values + have);
  return x;
}

}  // namespace

std::vector<Device> devices() {
  if (why_no_cuda().empty()) return {Device::cpu, Device::cuda};
  return {Device::cpu};
}

std::vector<DType> dtypes(Device device) {
  if (device == Device::cuda) return {DType::f32, DType::bf16, DType::f16};
  return {DType::f32, DType::bf16};
}

Tensor random_tensor(const Shape& shape, DType dtype, Device device, uint64_t seed) {
  const Tensor x = drawn<float>(shape, seed, [](Philox& random) { return random.uniform(-1.0f, 1.0f); });
  return (dtype == DType::f32 ? x : backend(Device::cpu).cast(x, dtype)).to(device);
}

Tensor random_bytes(const Shape& shape, Device device) {
  return drawn<uint8_t>(shape, 2, [](Philox& random) { return static_cast<uint8_t>(random.below(256)); })
      .to(device);
}

std::string shape_text(const Shape& shape) { return fmt::format("{}", fmt::join(shape.dims(), "x")); }

int64_t last_level_cache(Device device) {
  if (device == Device::cuda) return cuda_cache_bytes();
  return cpu_info().last_level_cache;
}

int64_t bytes_read_twice(const Tensor& x) {
  const auto bytes = static_cast<int64_t>(x.bytes());
  return bytes > last_level_cache(x.device()) ? 2 * bytes : bytes;
}

}  // namespace cytograd::bench
