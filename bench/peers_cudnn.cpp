#include "bench/peers_cudnn.h"

#include <cudnn.h>

#include <memory>
#include <type_traits>

#include "bench/cuda_backend.h"
#include "bench/harness.h"

namespace cytograd::bench {
namespace {

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN, {}: {}", what, cudnnGetErrorString(status));
}

cudnnHandle_t handle() {
  struct Destroy {
    void operator()(cudnnContext* context) const { cudnnDestroy(context); }
  };
  static const std::unique_ptr<cudnnContext, Destroy> one = [] {
    cudnnHandle_t made = nullptr;
    check(cudnnCreate(&made), "a handle");
    std::unique_ptr<cudnnContext, Destroy> owned(made);
    check(cudnnSetStream(made, cuda().stream()), "its stream");
    return owned;
  }();
  return one.get();
}

/// A descriptor that lives as long as the calls that take it.
template <typename Handle>
using Shared = std::shared_ptr<std::remove_pointer_t<Handle>>;

template <typename Handle>
Shared<Handle> made(cudnnStatus_t (*create)(Handle*), cudnnStatus_t (*destroy)(Handle)) {
  Handle raw = nullptr;
  check(create(&raw), "a descriptor");
  return Shared<Handle>(raw, [destroy](Handle dying) { destroy(dying); });
}

using TensorDesc = Shared<cudnnTensorDescriptor_t>;

cudnnDataType_t type_of(DType dtype) {
  return dtype == DType::f32    ? CUDNN_DATA_FLOAT
         : dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16
                                : CUDNN_DATA_HALF;
}

/// [N, H, W, C].
TensorDesc described(const Shape& x, DType dtype) {
  TensorDesc desc = made(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  check(cudnnSetTensor4dDescriptor(desc.get(), CUDNN_TENSOR_NHWC, type_of(dtype), static_cast<int>(x[0]),
                                   static_cast<int>(x[3]), static_cast<int>(x[1]), static_cast<int>(x[2])),
        "a tensor's shape");
  return desc;
}

Shape as_images(const Shape& shape) {
  return shape.rank() == 4 ? shape : Shape{shape[0], 1, 1, shape.elements() / shape[0]};
}

Shared<cudnnActivationDescriptor_t> relu_descriptor() {
  auto desc = made(cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor);
  check(cudnnSetActivationDescriptor(desc.get(), CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0.0), "ReLU");
  return desc;
}

Tensor drawn(const Shape& shape, DType dtype, uint64_t seed = 1) {
  return random_tensor(shape, dtype, Device::cuda, seed);
}

constexpr float kOne = 1.0f, kZero = 0.0f;

}  // namespace

Call cudnn_add(const Shape& shape, DType dtype) {
  const Shape images = as_images(shape);
  const TensorDesc desc = described(images, dtype);
  const auto op = made(cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor);
  check(cudnnSetOpTensorDescriptor(op.get(), CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_PROPAGATE_NAN),
        "a sum");
  const Tensor a = drawn(images, dtype, 1), b = drawn(images, dtype, 2);
  Tensor c = Tensor::empty(images, dtype, Device::cuda);
  return [=]() mutable {
    check(cudnnOpTensor(handle(), op.get(), &kOne, desc.get(), a.raw(), &kOne, desc.get(), b.raw(), &kZero,
                        desc.get(), c.raw()),
          "a sum");
  };
}

Passes cudnn_relu(const Shape& shape, DType dtype) {
  const Shape images = as_images(shape);
  const TensorDesc desc = described(images, dtype);
  const auto relu = relu_descriptor();
  const Tensor x = drawn(images, dtype, 1), dy = drawn(images, dtype, 2);
  Tensor y = drawn(images, dtype, 3), dx = Tensor::empty(images, dtype, Device::cuda);
  return {[=]() mutable {
            check(cudnnActivationForward(handle(), relu.get(), &kOne, desc.get(), x.raw(), &kZero, desc.get(),
                                         y.raw()),
                  "ReLU");
          },
          [=]() mutable {
            check(cudnnActivationBackward(handle(), relu.get(), &kOne, desc.get(), y.raw(), desc.get(),
                                          dy.raw(), desc.get(), x.raw(), &kZero, desc.get(), dx.raw()),
                  "ReLU backward");
          }};
}

Call cudnn_softmax(const Shape& shape, DType dtype) {
  const Shape images{shape[0], 1, 1, shape[1]};
  const TensorDesc desc = described(images, dtype);
  const Tensor x = drawn(images, dtype);
  Tensor y = Tensor::empty(images, dtype, Device::cuda);
  return [=]() mutable {
    check(cudnnSoftmaxForward(handle(), CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &kOne, desc.get(),
                              x.raw(), &kZero, desc.get(), y.raw()),
          "softmax");
  };
}

Passes cudnn_batchnorm_act(const Shape& shape, DType dtype, bool residual) {
  constexpr auto kMode = CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
  const auto ops = residual ? CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION : CUDNN_BATCHNORM_OPS_BN_ACTIVATION;
  const TensorDesc desc = described(shape, dtype);
  const TensorDesc channels = made(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  check(cudnnDeriveBNTensorDescriptor(channels.get(), desc.get(), kMode), "the channels' shape");
  const auto relu = relu_descriptor();
  const cudnnTensorDescriptor_t more = residual ? desc.get() : nullptr;
  size_t forward_bytes = 0, backward_bytes = 0, reserve_bytes = 0;
  check(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
            handle(), kMode, ops, desc.get(), more, desc.get(), channels.get(), relu.get(), &forward_bytes),
        "batch norm's workspace");
  check(cudnnGetBatchNormalizationBackwardExWorkspaceSize(handle(), kMode, ops, desc.get(), desc.get(),
                                                          desc.get(), more, desc.get(), channels.get(),
                                                          relu.get(), &backward_bytes),
        "batch norm's workspace backward");
  check(cudnnGetBatchNormalizationTrainingExReserveSpaceSize(handle(), kMode, ops, relu.get(), desc.get(),
                                                             &reserve_bytes),
        "batch norm's reserve");
  const auto bytes = [](size_t count) {
    return Tensor::empty({static_cast<int64_t>(count) + 1}, DType::u8, Device::cuda);
  };
  const Shape c{shape[3]};
  const auto parameter = [&](float value) { return Tensor::full(c, value, DType::f32, Device::cuda); };
  struct Data {
    Tensor x, z, y, dy, dx, dz, gamma, beta, mean, variance, saved_mean, saved_inv_std, dgamma, dbeta;
    Tensor forward_space, backward_space, reserve;
  };
  const auto data = std::make_shared<Data>();
  data->x = drawn(shape, dtype, 1);
  data->dy = drawn(shape, dtype, 2);
  for (Tensor* t : {&data->y, &data->dx}) *t = Tensor::empty(shape, dtype, Device::cuda);
  if (residual) {
    data->z = drawn(shape, dtype, 3);
    data->dz = Tensor::empty(shape, dtype, Device::cuda);
  }
  for (Tensor* t : {&data->gamma, &data->variance}) *t = parameter(1.0f);
  for (Tensor* t :
       {&data->beta, &data->mean, &data->saved_mean, &data->saved_inv_std, &data->dgamma, &data->dbeta})
    *t = parameter(0.0f);
  data->forward_space = bytes(forward_bytes);
  data->backward_space = bytes(backward_bytes);
  data->reserve = bytes(reserve_bytes);

  const Passes passes{
      [=] {
        Data& d = *data;
        check(cudnnBatchNormalizationForwardTrainingEx(
                  handle(), kMode, ops, &kOne, &kZero, desc.get(), d.x.raw(), more, d.z.raw(), desc.get(),
                  d.y.raw(), channels.get(), d.gamma.raw(), d.beta.raw(), 0.1, d.mean.raw(), d.variance.raw(),
                  1e-5, d.saved_mean.raw(), d.saved_inv_std.raw(), relu.get(), d.forward_space.raw(),
                  forward_bytes, d.reserve.raw(), reserve_bytes),
              "batch norm");
      },
      [=] {
        Data& d = *data;
        check(cudnnBatchNormalizationBackwardEx(
                  handle(), kMode, ops, &kOne, &kZero, &kOne, &kZero, desc.get(), d.x.raw(), desc.get(),
                  d.y.raw(), desc.get(), d.dy.raw(), more, d.dz.raw(), desc.get(), d.dx.raw(), channels.get(),
                  d.gamma.raw(), d.beta.raw(), d.dgamma.raw(), d.dbeta.raw(), 1e-5, d.saved_mean.raw(),
                  d.saved_inv_std.raw(), relu.get(), d.backward_space.raw(), backward_bytes, d.reserve.raw(),
                  reserve_bytes),
              "batch norm backward");
      }};
  passes.forward();  // backward reads what it leaves
  return passes;
}

namespace {

Passes pooling(const Shape& x_shape, const Shape& y_shape, DType dtype, cudnnPoolingMode_t mode,
               const std::array<int, 4>& window) {
  const TensorDesc from = described(x_shape, dtype), to = described(y_shape, dtype);
  const auto pool = made(cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor);
  const auto [height, width, padding, stride] = window;
  check(cudnnSetPooling2dDescriptor(pool.get(), mode, CUDNN_PROPAGATE_NAN, height, width, padding, padding,
                                    stride, stride),
        "a pooling window");
  const Tensor x = drawn(x_shape, dtype, 1), dy = drawn(y_shape, dtype, 2);
  Tensor y = Tensor::empty(y_shape, dtype, Device::cuda), dx = Tensor::empty(x_shape, dtype, Device::cuda);
  const Passes passes{
      [=]() mutable {
        check(
            cudnnPoolingForward(handle(), pool.get(), &kOne, from.get(), x.raw(), &kZero, to.get(), y.raw()),
            "pooling");
      },
      [=]() mutable {
        check(cudnnPoolingBackward(handle(), pool.get(), &kOne, to.get(), y.raw(), to.get(), dy.raw(),
                                   from.get(), x.raw(), &kZero, from.get(), dx.raw()),
              "pooling backward");
      }};
  passes.forward();
  return passes;
}

}  // namespace

Passes cudnn_max_pool2d(const Shape& x, DType dtype, const MaxPool2dOptions& options) {
  const Shape y = options.output_shape(x);
  const auto window = static_cast<int>(options.window);
  return pooling(x, y, dtype, CUDNN_POOLING_MAX,
                 {window, window, static_cast<int>(options.padding), static_cast<int>(options.stride)});
}

Passes cudnn_global_avg_pool(const Shape& x, DType dtype) {
  return pooling(x, {x[0], 1, 1, x[3]}, dtype, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
                 {static_cast<int>(x[1]), static_cast<int>(x[2]), 0, 1});
}

}  // namespace cytograd::bench
