// An NVIDIA GPU: the kernels of kernels/, cuDNN for convolutions, cuBLASLt for matrix products. Everything is queued on
// one stream, in the order of the calls. Methods live in ops/*_cuda.cpp; what the libraries do, in ops/*_cudnn.cpp and
// ops/*_cublas.cpp, or, in a build that emulates the GPU, in ops/*_emulated.cpp.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <set>

#include "engine/backend.h"
#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

class CudaLibraries;
struct BatchnormActTrainArguments;
struct ChannelSumsArguments;
struct PreprocessArguments;
struct StepTerm;

/// What queues an op's kernels: production's, or a variant under trial.
template <typename Arguments>
using Launcher = void (*)(const Arguments& arguments, device::Stream stream);

/// How channel_sums comes about on a GPU; equal results. The op takes the kernel, which reads a pixel of six channels
/// once; the matrix product of bytes moves some 40 bytes for it, and is here to compare.
enum class ChannelSumsMethod : uint8_t { kernel, gemm };

/// Gives pinned memory back.
struct PinnedDelete {
  size_t bytes = 0;
  void operator()(void* memory) const { device::pinned_memory().deallocate(memory, bytes); }
};

class CudaBackend final : public Backend {
 public:
  /// Throws Error where there is no device.
  CudaBackend();
  ~CudaBackend() override;

  Device device() const override { return Device::cuda; }
  BufferPool& pool() override { return *current_pool_; }
  void synchronize() override { device::synchronize(stream()); }
  std::function<void()> capture(const std::function<void()>& work) override;
  void run_aside(const std::function<void()>& work) override;
  void set_options(const DeviceOptions& options) override;
  device::Stream stream() const { return stream_.get(); }

  void fill(Tensor& x, float value) override;
  void copy(Tensor& destination, const Tensor& source) override;
  void copy_from_host(Tensor& destination, const void* source) override;
  void copy_to_host(const Tensor& source, void* destination) override;
  Tensor staging(const Shape& shape, DType dtype) override;
  Tensor upload(const Tensor& host) override;
  std::function<std::vector<float>()> read_later(std::span<const Tensor> tensors) override;

  Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) override;
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                               const Conv2dOptions& options) override;
  Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                const Conv2dOptions& options) override;

  BatchnormActForward batchnorm_act_train(const BatchnormActArguments& arguments,
                                          const BatchnormActOptions& options) override;
  BatchnormActForward batchnorm_act_train_by(Launcher<BatchnormActTrainArguments> launcher,
                                             const BatchnormActArguments& arguments,
                                             const BatchnormActOptions& options);
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
  void preprocess_by(Launcher<PreprocessArguments> launcher, const Tensor& images,
                     std::span<const View> views, const PreprocessOptions& options, Tensor& y);
  void channel_sums(const Tensor& x, Tensor& sums) override {
    channel_sums_by(ChannelSumsMethod::kernel, x, sums);
  }
  void channel_sums_by(ChannelSumsMethod method, const Tensor& x, Tensor& sums);
  void channel_sums_by(Launcher<ChannelSumsArguments> launcher, const Tensor& x, Tensor& sums);

  void begin_step(std::span<const Tensor> gradients, const StepState& state, const StepRules& rules) override;
  void sgd_step(std::span<const OptimizerTerm> terms, const StepState& state,
                const SgdOptions& options) override;
  void adamw_step(std::span<const OptimizerTerm> terms, const StepState& state,
                  const AdamwOptions& options) override;
  void ema_step(std::span<const EmaTerm> terms, const Tensor& decay) override;

 private:
  /// An uninitialised tensor on this device.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32) {
    return Tensor::empty(shape, dtype, Device::cuda);
  }

  /// x w^T in f32, with w rounded to x's type.
  Tensor linear_product(const Tensor& x, const Tensor& w);

  /// grams i32 [B, M, M] = planes planes^T of signed bytes [B, M, K].
  void multiply_planes(const Tensor& planes, Tensor& grams);

  /// Host memory on the device, for work that is queued before the result goes: kernels' tables. Captured work reads
  /// the same bytes at each launch.
  Tensor constant(const void* host, size_t bytes);

  struct StepTable;
  StepTable step_table(std::vector<StepTerm>& terms);

  /// A copy to the host that is under way.
  struct Reading {
    std::unique_ptr<void, PinnedDelete> pinned{nullptr, {}};
    size_t capacity = 0;
    device::Event copied;
  };

  /// Pinned memory of tensors on the host.
  struct Staging {
    BufferPool pool{device::pinned_memory()};
    std::mutex mutex;
    std::set<const void*> live;  // what is given out
  };

  /// One of the two batches that are in flight.
  struct UploadSlot {
    Tensor source;         // pinned; kept until it is copied
    Tensor memory;         // on the device, as many bytes as the largest batch has
    device::Event copied;  // to the device
    device::Event used;    // by all that may have read it
  };

  device::StreamHandle stream_;
  device::StreamHandle copy_stream_;
  BufferPool pool_;
  BufferPool graph_pool_;  // of captured work, which uses its buffers again at each launch
  BufferPool* current_pool_ = &pool_;
  bool within_ = false;                                // captured work, or work that is run aside
  bool has_captured_ = false;                          // else the graphs' pool has nothing to share
  std::vector<Tensor>* captured_constants_ = nullptr;  // while work is captured: what its graph keeps
  Staging staging_;
  std::array<UploadSlot, 2> uploads_;
  size_t next_upload_ = 0;
  std::vector<std::unique_ptr<Reading>> idle_readings_;
  std::unique_ptr<CudaLibraries> libraries_;
};

/// The kernels' name of a floating type. Throws Error for another.
ElementType element_type(DType dtype);

}  // namespace cytograd
