// The CPU: convolutions by Winograd, by products or by taps where ops/conv2d_way_cpu.h finds that faster, else by
// oneDNN, as matrix products are; the loops of all else, on OpenMP's threads, are our own. Methods live in
// ops/*_cpu.cpp.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace cytograd {

class OnednnPlans;

class CpuBackend final : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;

  Device device() const override { return Device::cpu; }
  BufferPool& pool() override { return pool_; }
  void synchronize() override {}
  std::function<void()> capture(const std::function<void()>& work) override { return work; }
  void run_aside(const std::function<void()>& work) override { work(); }
  void set_options(const DeviceOptions&) override {}

  void fill(Tensor& x, float value) override;
  void copy(Tensor& destination, const Tensor& source) override;
  void copy_from_host(Tensor& destination, const void* source) override;
  void copy_to_host(const Tensor& source, void* destination) override;
  Tensor staging(const Shape& shape, DType dtype) override { return Tensor::empty(shape, dtype); }
  Tensor upload(const Tensor& host) override { return host; }
  std::function<std::vector<float>()> read_later(std::span<const Tensor> tensors) override;

  Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) override;
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                               const Conv2dOptions& options) override;
  Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                const Conv2dOptions& options) override;

  BatchnormActForward batchnorm_act_train(const BatchnormActArguments& arguments,
                                          const BatchnormActOptions& options) override;
  Tensor batchnorm_act_eval(const BatchnormActArguments& arguments,
                            const BatchnormActOptions& options) override;
  BatchnormActBackward batchnorm_act_backward(const Tensor& dy, const Tensor& more,
                                              const BatchnormActSaved& saved) override;

  MaxPool2dForward max_pool2d(const Tensor& x, const MaxPool2dOptions& options) override;
  Tensor max_pool2d_backward(const Tensor& dy, const Tensor& index, const Shape& x_shape,
                             const MaxPool2dOptions& options) override;
  Tensor global_avg_pool(const Tensor& x) override;
  Tensor global_avg_pool_backward(const Tensor& dy, const Shape& x_shape) override;

  Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) override;
  Tensor linear_backward_input(const Tensor& dy, const Tensor& w) override;
  Tensor linear_backward_weight(const Tensor& dy, const Tensor& x) override;
  Tensor linear_backward_bias(const Tensor& dy) override;

  SoftmaxCrossEntropyForward softmax_cross_entropy(const Tensor& logits, const Tensor& labels,
                                                   const Tensor& class_weights,
                                                   const SoftmaxCrossEntropyOptions& options) override;
  Tensor softmax(const Tensor& logits) override;

  Tensor add(const Tensor& a, const Tensor& b) override;
  Tensor relu(const Tensor& x) override;
  Tensor relu_backward(const Tensor& dy, const Tensor& y) override;
  Tensor dropout(const Tensor& x, const DropoutOptions& options) override;
  Tensor cast(const Tensor& x, DType dtype) override;
  Tensor scale(const Tensor& x, const Tensor& factor, DType dtype) override;

  void preprocess(const Tensor& images, std::span<const View> views, const PreprocessOptions& options,
                  Tensor& y) override;
  void channel_sums(const Tensor& x, Tensor& sums) override;

  void begin_step(std::span<const Tensor> gradients, const StepState& state, const StepRules& rules) override;
  void sgd_step(std::span<const OptimizerTerm> terms, const StepState& state,
                const SgdOptions& options) override;
  void adamw_step(std::span<const OptimizerTerm> terms, const StepState& state,
                  const AdamwOptions& options) override;
  void ema_step(std::span<const EmaTerm> terms, const Tensor& decay) override;

 private:
  BufferPool pool_;
  std::unique_ptr<OnednnPlans> plans_;  // convolutions and matrix products, by shape
};

}  // namespace cytograd
