// Convolutions of ResNet-18 at 64 pixels and of ResNet-50 at 224: 2 N H' W' O KH KW I operations each way, less those
// of taps that meet padding. Winograd's transforms do fewer, so that a share may pass 1.
#include "bench/cases.h"
#include "bench/operations.h"
#include "bench/peers_onednn.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

struct Problem {
  Device device;
  DType dtype;
  Shape x;
  Shape w;
  Conv2dOptions options;

  Shape y() const { return options.output_shape(x, w); }
};

std::vector<Problem> problems() {
  std::vector<Problem> all;
  const auto layer = [&](const Shape& x, const Shape& w, const Conv2dOptions& options) {
    for_each_target([&](Device device, DType dtype) { all.push_back({device, dtype, x, w, options}); });
  };
  const auto layer_of_224 = [&](int64_t side, int64_t in, const Shape& w, const Conv2dOptions& options) {
    for_each_target([&](Device device, DType dtype) {
      all.push_back({device, dtype, {batch_of_224(device), side, side, in}, w, options});
    });
  };
  const Conv2dOptions same{.stride = 1, .padding = 1}, half{.stride = 2, .padding = 1};
  for (const test::OpCase& c : realistic_cases("conv2d")) {
    layer(c.inputs[0].shape, c.inputs[1].shape,
          {.stride = static_cast<int64_t>(c.attributes.at("stride")),
           .padding = static_cast<int64_t>(c.attributes.at("padding"))});
  }
  layer({64, 64, 64, 6}, {64, 7, 7, 6}, {.stride = 2, .padding = 3});  // ResNet-18 at 64 pixels
  layer({64, 16, 16, 64}, {64, 3, 3, 64}, same);
  layer({64, 16, 16, 64}, {128, 3, 3, 64}, half);
  layer({64, 8, 8, 128}, {128, 3, 3, 128}, same);
  layer({64, 4, 4, 256}, {256, 3, 3, 256}, same);
  layer({64, 2, 2, 512}, {512, 3, 3, 512}, same);
  layer_of_224(224, 6, {64, 7, 7, 6}, {.stride = 2, .padding = 3});  // ResNet-50 at 224 pixels
  layer_of_224(56, 64, {256, 1, 1, 64}, {});
  layer_of_224(56, 256, {64, 1, 1, 256}, {});
  layer_of_224(56, 64, {64, 3, 3, 64}, same);
  layer_of_224(28, 512, {128, 1, 1, 512}, {});
  layer_of_224(28, 128, {128, 3, 3, 128}, same);
  layer_of_224(14, 1024, {256, 1, 1, 1024}, {});
  layer_of_224(14, 256, {256, 3, 3, 256}, same);
  layer_of_224(7, 512, {2048, 1, 1, 512}, {});
  layer_of_224(7, 512, {512, 3, 3, 512}, same);
  return all;
}

Work work(const Problem& p, DensePass pass) {
  const Shape y = p.y();
  const Tensor w = random_tensor(p.w, DType::f32, p.device, 1);
  const Tensor x = random_tensor(p.x, p.dtype, p.device, 2);
  const Tensor dy = random_tensor(y, p.dtype, p.device, 3);
  Work result{.run = {},
              .bytes = static_cast<int64_t>(x.bytes() + w.bytes() + dy.bytes()),
              .operations = 2 * conv2d_products(p.x, p.w, p.options)};
  const DensePasses peer =
      p.device == Device::cpu ? onednn_conv2d(p.x, p.w, p.dtype, p.options) : DensePasses{};
  if (p.device == Device::cpu) result.library = "oneDNN";
  Backend& device = backend(p.device);
  switch (pass) {
    case DensePass::forward:
      result.run = [&device, x, w, p] { device.conv2d(x, w, p.options); };
      result.run_library = peer.forward;
      break;
    case DensePass::backward_input:
      result.run = [&device, dy, w, p] { device.conv2d_backward_input(dy, w, p.x, p.options); };
      result.run_library = peer.backward_input;
      break;
    case DensePass::backward_weight:
      result.run = [&device, dy, x, w, p] { device.conv2d_backward_weight(dy, x, w, p.options); };
      result.run_library = peer.backward_weight;
      break;
  }
  return result;
}

void add(std::vector<Row>& rows) {
  for (const Problem& p : problems()) {
    const std::string shape =
        fmt::format("{}_w{}_stride{}", shape_text(p.x), shape_text(p.w), p.options.stride);
    add_dense_rows(rows, {.family = "conv2d", .shape = shape, .device = p.device, .dtype = p.dtype},
                   [p](DensePass pass) { return work(p, pass); });
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
