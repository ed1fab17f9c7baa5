// The classifier's matrix products: 2 N I O operations each way.
#include "bench/cases.h"
#include "bench/peers_onednn.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

struct Problem {
  Device device;
  DType dtype;
  int64_t batch, in, out;
};

Work work(const Problem& p, DensePass pass) {
  const Tensor x = random_tensor({p.batch, p.in}, p.dtype, p.device, 1);
  const Tensor w = random_tensor({p.out, p.in}, DType::f32, p.device, 2);
  const Tensor b = random_tensor({p.out}, DType::f32, p.device, 3);
  const Tensor dy = random_tensor({p.batch, p.out}, p.dtype, p.device, 4);
  Work result{.run = {},
              .bytes = static_cast<int64_t>(x.bytes() + w.bytes() + dy.bytes()),
              .operations = 2 * p.batch * p.in * p.out};
  const DensePasses peer =
      p.device == Device::cpu ? onednn_linear(x.shape(), w.shape(), p.dtype) : DensePasses{};
  if (p.device == Device::cpu) result.library = "oneDNN";
  Backend& device = backend(p.device);
  switch (pass) {
    case DensePass::forward:
      result.run = [&device, x, w, b] { device.linear(x, w, b); };
      result.run_library = peer.forward;
      break;
    case DensePass::backward_input:
      result.run = [&device, dy, w] { device.linear_backward_input(dy, w); };
      result.run_library = peer.backward_input;
      break;
    case DensePass::backward_weight:
      result.run = [&device, dy, x] { device.linear_backward_weight(dy, x); };
      result.run_library = peer.backward_weight;
      break;
  }
  return result;
}

void add(std::vector<Row>& rows) {
  constexpr int64_t kShapes[][3] = {{1, 512, 16}, {64, 512, 1139}, {256, 2048, 1139}, {16, 2048, 1139}};
  for_each_target([&](Device device, DType dtype) {
    for (const auto& [batch, in, out] : kShapes) {
      const Problem p{device, dtype, batch, in, out};
      const std::string shape = fmt::format("{}x{}_w{}x{}", batch, in, out, in);
      add_dense_rows(rows, {.family = "linear", .shape = shape, .device = device, .dtype = dtype},
                     [p](DensePass pass) { return work(p, pass); });
    }
  });
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
