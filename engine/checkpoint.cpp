#include "engine/checkpoint.h"

#include <cstring>

namespace cytograd {
namespace {

/// [O, A, B] to [O, B, A].
Tensor swap_inner(const Tensor& x, int64_t a, int64_t b, const Shape& shape) {
  Tensor y = Tensor::empty(shape, x.dtype());
  const auto size = static_cast<int64_t>(size_of(x.dtype()));
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.raw());
  for (int64_t o = 0; o < shape[0]; ++o) {
    for (int64_t j = 0; j < b; ++j) {
      for (int64_t i = 0; i < a; ++i, to += size)
        std::memcpy(to, from + ((o * a + i) * b + j) * size, static_cast<size_t>(size));
    }
  }
  return y;
}

}  // namespace

Shape to_torch_layout(const Shape& x) { return x.rank() == 4 ? Shape{x[0], x[3], x[1], x[2]} : x; }

Tensor to_torch_layout(const Tensor& x) {
  const Tensor host = x.to(Device::cpu);
  if (x.rank() != 4) return host;
  return swap_inner(host, x.dim(1) * x.dim(2), x.dim(3), to_torch_layout(x.shape()));
}

Tensor from_torch_layout(const Tensor& x) {
  const Tensor host = x.to(Device::cpu);
  if (x.rank() != 4) return host;
  return swap_inner(host, x.dim(1), x.dim(2) * x.dim(3), {x.dim(0), x.dim(2), x.dim(3), x.dim(1)});
}

Tensor inflate_stem(const Tensor& w, int64_t channels) {
  CHECK(w.rank() == 4 && w.dim(1) >= 1 && channels >= 1, "a stem {} for {} channels", w.shape(), channels);
  const Tensor host = w.to(Device::cpu);
  const int64_t inputs = w.dim(1);
  if (inputs == channels) return host;
  const int64_t pixels = w.dim(2) * w.dim(3);
  Tensor y = Tensor::empty({w.dim(0), channels, w.dim(2), w.dim(3)}, w.dtype());
  dispatch_float(w.dtype(), [&]<typename T>(TypeTag<T>) {
    const T* from = host.data<T>();
    T* to = y.data<T>();
    for (int64_t o = 0; o < w.dim(0); ++o) {
      for (int64_t p = 0; p < pixels; ++p) {
        double sum = 0.0;  // mean * inputs
        for (int64_t i = 0; i < inputs; ++i)
          sum += static_cast<double>(static_cast<float>(from[(o * inputs + i) * pixels + p]));
        const T value(static_cast<float>(sum / static_cast<double>(channels)));
        for (int64_t c = 0; c < channels; ++c) to[(o * channels + c) * pixels + p] = value;
      }
    }
  });
  return y;
}

}  // namespace cytograd
