// Passes over flat arrays: each operand is read once, the result written once.
#include <cstring>

#include "bench/cases.h"
#include "bench/peers.h"
#include "bench/peers_onednn.h"
#include "engine/backend.h"
#include "engine/parallel.h"

namespace cytograd::bench {
namespace {

struct Problem {
  Device device;
  DType dtype;
  Shape shape;

  bool on_cpu() const { return device == Device::cpu; }
  const char* dnn() const { return on_cpu() ? "oneDNN" : "cuDNN"; }
  Tensor drawn(uint64_t seed = 1) const { return random_tensor(shape, dtype, device, seed); }
  Work work(std::function<void()> run, int64_t operands, const char* library, Call peer) const {
    const int64_t bytes = operands * shape.elements() * static_cast<int64_t>(size_of(dtype));
    return {.run = std::move(run),
            .bytes = bytes,
            .library = peer ? library : "",
            .run_library = std::move(peer)};
  }
};

Work add_forward(const Problem& p) {
  const Tensor a = p.drawn(1), b = p.drawn(2);
  return p.work([a, b] { backend(a.device()).add(a, b); }, 3, p.dnn(), peer_add(p.device, p.shape, p.dtype));
}

Work relu_forward(const Problem& p) {
  const Tensor x = p.drawn();
  return p.work([x] { backend(x.device()).relu(x); }, 2, p.dnn(),
                peer_relu(p.device, p.shape, p.dtype).forward);
}

Work relu_backward(const Problem& p) {
  const Tensor dy = p.drawn(1), y = p.drawn(2);
  return p.work([dy, y] { backend(y.device()).relu_backward(dy, y); }, 3, p.dnn(),
                peer_relu(p.device, p.shape, p.dtype).backward);
}

Work dropout_forward(const Problem& p) {
  const Tensor x = p.drawn();
  return p.work([x] { backend(x.device()).dropout(x, {.probability = 0.5f, .seed = 3}); }, 2, "", nullptr);
}

/// To and from f32, as mixed precision casts.
Work cast(const Problem& p) {
  const Tensor x = p.drawn();
  const DType to = p.dtype == DType::f32 ? DType::bf16 : DType::f32;
  Work work = p.work([x, to] { backend(x.device()).cast(x, to); }, 1, "oneDNN",
                     p.on_cpu() ? onednn_cast(p.shape, p.dtype, to) : nullptr);
  work.bytes += x.elements() * static_cast<int64_t>(size_of(to));
  return work;
}

Work copy(const Problem& p) {
  const Tensor x = p.drawn();
  Tensor y = Tensor::empty(p.shape, p.dtype, p.device);
  const auto memcpy_on_threads = [x, y]() mutable {
    auto* to = static_cast<uint8_t*>(y.raw());
    const auto* from = static_cast<const uint8_t*>(x.raw());
    parallel_for(static_cast<int64_t>(x.bytes()), 65536, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
  };
  return p.work([x, y]() mutable { backend(x.device()).copy(y, x); }, 2, "memcpy",
                p.on_cpu() ? Call(memcpy_on_threads) : nullptr);
}

void add(std::vector<Row>& rows) {
  const std::pair<const char*, Work (*)(const Problem&)> families[] = {
      {"add", add_forward},         {"relu", relu_forward}, {"relu_backward", relu_backward},
      {"dropout", dropout_forward}, {"cast", cast},         {"copy", copy}};
  for_each_target([&](Device device, DType dtype) {
    for (const auto& [family, make] : families) {
      for (const Shape& shape :
           {Shape{1, 16, 16, 64}, Shape{64, 16, 16, 64}, Shape{batch_of_224(device), 56, 56, 256}}) {
        rows.push_back({.family = family,
                        .shape = shape_text(shape),
                        .pass = "forward",
                        .device = device,
                        .dtype = dtype,
                        .make = [=, make = make] {
                          return make({device, dtype, shape});
                        }});
      }
    }
  });
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
