// Softmax, and the loss with its gradient in one pass: logits are read once, probabilities or gradients written once.
#include "bench/cases.h"
#include "bench/peers.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

Tensor labels(int64_t batch, int64_t classes, Device device) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < batch; ++i) values.push_back(i * 37 % classes);
  return Tensor::from(values, {batch}, device);
}

Work loss(Device device, DType dtype, const Shape& shape) {
  const Tensor logits = random_tensor(shape, dtype, device);
  const Tensor truth = labels(shape[0], shape[1], device);
  return {.run =
              [logits, truth] {
                backend(logits.device()).softmax_cross_entropy(logits, truth, {}, {.label_smoothing = 0.1f});
              },
          .bytes = static_cast<int64_t>(logits.bytes() + truth.bytes()) + 4 * logits.elements()};
}

Work probabilities(Device device, DType dtype, const Shape& shape) {
  const Tensor logits = random_tensor(shape, dtype, device);
  return with_library({.run = [logits] { backend(logits.device()).softmax(logits); },
                       .bytes = static_cast<int64_t>(logits.bytes()) + 4 * logits.elements()},
                      device, peer_softmax(device, shape, dtype));
}

void add(std::vector<Row>& rows) {
  for_each_target([&](Device device, DType dtype) {
    for (const Shape& shape : {Shape{1, 16}, Shape{64, 1139}, Shape{256, 1139}, Shape{4096, 1139}}) {
      const auto row = [&](const char* family, Work (*make)(Device, DType, const Shape&)) {
        rows.push_back({.family = family,
                        .shape = shape_text(shape),
                        .pass = "forward",
                        .device = device,
                        .dtype = dtype,
                        .make = [=] { return make(device, dtype, shape); }});
      };
      row("softmax", probabilities);
      row("softmax_cross_entropy", loss);
    }
  });
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
