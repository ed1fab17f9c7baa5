// Batch norm + residual + ReLU in training. Forward reads x for the statistics and again for the result, the residual
// once, and writes y and a bit an element; backward reads dy and x twice, and writes dx and, with a residual, its
// gradient, which of a dy in two parts is read again.
#include "bench/cases.h"
#include "bench/peers.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

struct Problem {
  Device device;
  DType dtype;
  Shape shape;
  bool residual;
};

Backend::BatchnormActArguments arguments_of(const Problem& p) {
  const Shape channels{p.shape[3]};
  const auto parameter = [&](uint64_t seed) { return random_tensor(channels, DType::f32, p.device, seed); };
  return {.x = random_tensor(p.shape, p.dtype, p.device, 1),
          .gamma = parameter(2),
          .beta = parameter(3),
          .running_mean = parameter(4),
          .running_var = Tensor::full(channels, 1.0f, DType::f32, p.device),
          .residual = p.residual ? random_tensor(p.shape, p.dtype, p.device, 5) : Tensor()};
}

int64_t bytes(const Tensor& x) { return static_cast<int64_t>(x.bytes()); }

Work forward(const Problem& p) {
  const Backend::BatchnormActArguments arguments = arguments_of(p);
  const Tensor& x = arguments.x;
  const int64_t added = p.residual ? bytes(x) : 0;
  const auto run = [arguments] {
    backend(arguments.x.device()).batchnorm_act_train(arguments, {.relu = true});
  };
  return with_library({.run = run, .bytes = bytes_read_twice(x) + added + bytes(x) + x.elements() / 8},
                      p.device, peer_batchnorm_act(p.device, p.shape, p.dtype, p.residual).forward);
}

Backend::BatchnormActSaved saved_by_forward(const Problem& p) {
  const Backend::BatchnormActArguments arguments = arguments_of(p);
  const Backend::BatchnormActForward made = backend(p.device).batchnorm_act_train(arguments, {.relu = true});
  return {.x = arguments.x,
          .gamma = arguments.gamma,
          .mean = made.mean,
          .inv_std = made.inv_std,
          .mask = made.mask,
          .has_residual = p.residual};
}

Work backward(const Problem& p) {
  const Backend::BatchnormActSaved saved = saved_by_forward(p);
  const Tensor dy = random_tensor(p.shape, p.dtype, p.device, 6);
  const int64_t one = bytes(dy);
  const int64_t reads = bytes_read_twice(dy) + bytes_read_twice(dy) + 2 * (dy.elements() / 8);
  return with_library({.run = [dy, saved] { backend(dy.device()).batchnorm_act_backward(dy, {}, saved); },
                       .bytes = reads + (p.residual ? 2 : 1) * one},
                      p.device, peer_batchnorm_act(p.device, p.shape, p.dtype, p.residual).backward);
}

/// Of dy in two parts, each read once; dresidual is written, and read in their place.
Work backward_of_sum(const Problem& p) {
  const Backend::BatchnormActSaved saved = saved_by_forward(p);
  const Tensor dy = random_tensor(p.shape, p.dtype, p.device, 6);
  const Tensor more = random_tensor(p.shape, p.dtype, p.device, 7);
  const int64_t one = bytes(dy);
  return {.run = [dy, more, saved] { backend(dy.device()).batchnorm_act_backward(dy, more, saved); },
          .bytes = 2 * one + bytes_read_twice(saved.x) + dy.elements() / 8 + (bytes_read_twice(dy) - one) +
                   2 * one};
}

void add(std::vector<Row>& rows) {
  for_each_target([&](Device device, DType dtype) {
    for (const Shape& shape : activation_shapes(device)) {
      for (const bool residual : {false, true}) {
        const Problem p{device, dtype, shape, residual};
        const std::string suffix = residual ? "_residual" : "";
        const auto row = [&](const std::string& pass, Work (*make)(const Problem&)) {
          rows.push_back({.family = "batchnorm_act",
                          .shape = shape_text(shape),
                          .pass = pass + suffix,
                          .device = device,
                          .dtype = dtype,
                          .make = [p, make] { return make(p); }});
        };
        row("forward", forward);
        row("backward", backward);
        if (residual) row("backward_of_sum", backward_of_sum);
      }
    }
  });
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
