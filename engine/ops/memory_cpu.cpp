// Fills and copies.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "engine/backend_cpu.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kGrain = 64 * 1024;  // bytes

void copy_bytes(void* destination, const void* source, size_t bytes) {
  constexpr int64_t kLine = 64;
  auto* to = static_cast<std::byte*>(destination);
  const auto* from = static_cast<const std::byte*>(source);
  const auto count = static_cast<int64_t>(bytes);
  const bool streamed = is_streamed(count);
  parallel_for((count + kLine - 1) / kLine, kGrain / kLine, [=](int64_t first, int64_t last) {
    const int64_t begin = first * kLine, end = std::min(last * kLine, count);
    if (!streamed) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
      return;
    }
    const int64_t lines = (end - begin) / kLine * kLine;
    stream_copy(to + begin, from + begin, lines);
    stream_copy(to + begin + lines, from + begin + lines, end - begin - lines);
    stream_fence();
  });
}

/// Fills with an element's bits.
template <typename T>
void fill_with(Tensor& x, T value) {
  T* data = static_cast<T*>(x.raw());
  parallel_for(x.elements(), kGrain / static_cast<int64_t>(sizeof(T)),
               [=](int64_t begin, int64_t end) { std::fill(data + begin, data + end, value); });
}

}  // namespace

void CpuBackend::fill(Tensor& x, float value) {
  switch (x.dtype()) {
    case DType::u8:
      return fill_with(x, static_cast<uint8_t>(value));
    case DType::i32:
      return fill_with(x, static_cast<int32_t>(value));
    case DType::i64:
      return fill_with(x, static_cast<int64_t>(value));
    case DType::f32:
      return fill_with(x, value);
    case DType::bf16:
      return fill_with(x, bf16(value).bits);
    case DType::f16:
      return fill_with(x, f16(value).bits);
  }
}

void CpuBackend::copy(Tensor& destination, const Tensor& source) {
  copy_bytes(destination.raw(), source.raw(), source.bytes());
}

void CpuBackend::copy_from_host(Tensor& destination, const void* source) {
  copy_bytes(destination.raw(), source, destination.bytes());
}

void CpuBackend::copy_to_host(const Tensor& source, void* destination) {
  copy_bytes(destination, source.raw(), source.bytes());
}

std::function<std::vector<float>()> CpuBackend::read_later(std::span<const Tensor> tensors) {
  std::vector<float> values;
  for (const Tensor& x : tensors)
    values.insert(values.end(), x.data<float>(), x.data<float>() + x.elements());
  return [values] { return values; };
}

}  // namespace cytograd
