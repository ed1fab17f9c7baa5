// Max pooling, which reads x and writes y and a byte an element of it, and global average pooling; both ways.
#include "bench/cases.h"
#include "bench/peers.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

int64_t bytes(const Tensor& x) { return static_cast<int64_t>(x.bytes()); }

Work max_pool(Device device, DType dtype, const Shape& shape, bool forward) {
  const MaxPool2dOptions options;  // a ResNet's
  const Tensor x = random_tensor(shape, dtype, device);
  const Backend::MaxPool2dForward made = backend(device).max_pool2d(x, options);
  const Passes library = peer_max_pool2d(device, shape, dtype, options);
  const Tensor dy = random_tensor(made.y.shape(), dtype, device);
  Work work{.run = {}, .bytes = bytes(x) + bytes(dy) + made.y.elements()};
  if (forward) {
    work.run = [x, options] { backend(x.device()).max_pool2d(x, options); };
  } else {
    work.run = [dy, index = made.index, shape, options] {
      backend(dy.device()).max_pool2d_backward(dy, index, shape, options);
    };
  }
  return with_library(std::move(work), device, forward ? library.forward : library.backward);
}

Work global_avg_pool(Device device, DType dtype, const Shape& shape, bool forward) {
  const Passes library = peer_global_avg_pool(device, shape, dtype);
  const Tensor x = random_tensor(shape, dtype, device);
  const Tensor dy = random_tensor({shape[0], shape[3]}, dtype, device);
  Work work{.run = {}, .bytes = bytes(x) + bytes(dy)};
  if (forward) {
    work.run = [x] { backend(x.device()).global_avg_pool(x); };
  } else {
    work.run = [dy, shape] { backend(dy.device()).global_avg_pool_backward(dy, shape); };
  }
  return with_library(std::move(work), device, forward ? library.forward : library.backward);
}

void add(std::vector<Row>& rows) {
  const auto family = [&](const char* name, const auto& shapes,
                          Work (*make)(Device, DType, const Shape&, bool)) {
    for_each_target([&](Device device, DType dtype) {
      for (const Shape& shape : shapes(device)) {
        for (const bool forward : {true, false}) {
          rows.push_back({.family = name,
                          .shape = shape_text(shape),
                          .pass = forward ? "forward" : "backward",
                          .device = device,
                          .dtype = dtype,
                          .make = [=] { return make(device, dtype, shape, forward); }});
        }
      }
    });
  };
  const auto pooled = [](Device device) {
    return std::vector<Shape>{{1, 32, 32, 64},
                              {64, 32, 32, 64},
                              {batch_of_224(device), 112, 112, 64},
                              {batch_of_512(device), 256, 256, 64}};
  };
  const auto averaged = [](Device device) {
    return std::vector<Shape>{{1, 2, 2, 512},
                              {64, 2, 2, 512},
                              {batch_of_224(device), 7, 7, 2048},
                              {64, 7, 7, 512},
                              {batch_of_512(device), 16, 16, 2048}};
  };
  family("max_pool2d", pooled, max_pool);
  family("global_avg_pool", averaged, global_avg_pool);
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
