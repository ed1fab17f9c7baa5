#include "bench/peers.h"

#include <utility>

#include "bench/peers_cudnn.h"
#include "bench/peers_onednn.h"

namespace cytograd::bench {
namespace {

bool on_cpu(Device device) { return device == Device::cpu; }

}  // namespace

Work with_library(Work work, Device device, Call call) {
  if (call) work.library = on_cpu(device) ? "oneDNN" : "cuDNN";
  work.run_library = std::move(call);
  return work;
}

Call peer_add(Device device, const Shape& shape, DType dtype) {
  return on_cpu(device) ? onednn_add(shape, dtype) : cudnn_add(shape, dtype);
}

Passes peer_relu(Device device, const Shape& shape, DType dtype) {
  return on_cpu(device) ? onednn_relu(shape, dtype) : cudnn_relu(shape, dtype);
}

Call peer_softmax(Device device, const Shape& shape, DType dtype) {
  if (!on_cpu(device)) return cudnn_softmax(shape, dtype);
  return dtype == DType::f32 ? onednn_softmax(shape) : nullptr;  // ours widens its results, oneDNN's do not
}

Passes peer_batchnorm_act(Device device, const Shape& x, DType dtype, bool residual) {
  return on_cpu(device) ? onednn_batchnorm_act(x, dtype, residual) : cudnn_batchnorm_act(x, dtype, residual);
}

Passes peer_max_pool2d(Device device, const Shape& x, DType dtype, const MaxPool2dOptions& options) {
  return on_cpu(device) ? onednn_max_pool2d(x, dtype, options) : cudnn_max_pool2d(x, dtype, options);
}

Passes peer_global_avg_pool(Device device, const Shape& x, DType dtype) {
  return on_cpu(device) ? onednn_global_avg_pool(x, dtype) : cudnn_global_avg_pool(x, dtype);
}

}  // namespace cytograd::bench
