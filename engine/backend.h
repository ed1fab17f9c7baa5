// What a device can do. Ops call these methods with shapes they have checked; results are new tensors on the
// device.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "engine/buffer_pool.h"
#include "engine/op_options.h"
#include "engine/step_state.h"
#include "engine/tensor.h"

namespace cytograd {

/// Images are [N, H, W, C]; convolution weights [O, KH, KW, I]; matrices row-major. Unless a method says
/// otherwise, activations and their gradients have one floating type, the result's too; parameters and
/// statistics are f32. Statistics, sums and losses accumulate in f32 or wider.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Device device() const = 0;
  virtual BufferPool& pool() = 0;
  /// Returns once all work queued so far is done.
  virtual void synchronize() = 0;

  /// A function that does what `work` does, at less cost for the host: on a GPU, a graph of the operations that `work`
  /// queues now. Each call computes on the same tensors, so that `work` reads what changes from tensors made before and
  /// leaves results in such; it must not wait for the device. The function lives no longer than the backend.
  virtual std::function<void()> capture(const std::function<void()>& work) = 0;
  /// Runs work that comes seldom, such as the smaller last batch of an epoch: in memory of captured work, which is idle
  /// meanwhile, and without measuring algorithms for its sizes. Throws CheckError where a tensor that `work` makes
  /// outlives it.
  virtual void run_aside(const std::function<void()>& work) = 0;

  /// Of a GPU's libraries; a CPU has nothing to choose. Throws Error where options exclude each other, on a GPU.
  virtual void set_options(const DeviceOptions& options) = 0;

  // Memory. Shapes and types agree.
  virtual void fill(Tensor& x, float value) = 0;
  virtual void copy(Tensor& destination, const Tensor& source) = 0;
  virtual void copy_from_host(Tensor& destination, const void* source) = 0;
  virtual void copy_to_host(const Tensor& source, void* destination) = 0;

  /// A host tensor whose elements are not initialised, in memory that upload copies from without a detour: on a GPU,
  /// pinned. Threads may ask for it at once.
  virtual Tensor staging(const Shape& shape, DType dtype) = 0;
  /// A host tensor on the device, for batches that follow each other: on a GPU the copy runs beside the computation
  /// queued before it, from pinned memory; what is not staged is copied there first. The result is overwritten by the
  /// second upload after this one, once what was queued until the next upload has read it.
  virtual Tensor upload(const Tensor& host) = 0;
  /// Begins to copy f32 tensors of this device to the host, to look at them later: the function it returns waits for
  /// that copy alone, and gives their elements, one tensor's after another's. It lives no longer than the backend.
  virtual std::function<std::vector<float>()> read_later(std::span<const Tensor> tensors) = 0;

  // Convolution. w is f32 or x's type; dw comes back in the type asked for.
  virtual Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) = 0;
  virtual Tensor conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                       const Conv2dOptions& options) = 0;
  virtual Tensor conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                        const Conv2dOptions& options) = 0;

  // Batch norm + optional residual add + optional ReLU over the last axis of x.
  struct BatchnormActForward {
    Tensor y;
    Tensor mean;     ///< [C], of this batch
    Tensor inv_std;  ///< [C], 1 / sqrt(biased variance + epsilon)
    Tensor
        mask;  ///< what backward needs to know of the ReLU, in the backend's own form; undefined without ReLU
  };
  struct BatchnormActBackward {
    Tensor dx;
    Tensor dgamma;     ///< [C]
    Tensor dbeta;      ///< [C]
    Tensor dresidual;  ///< of x's shape; undefined without a residual
  };
  struct BatchnormActArguments {
    Tensor x;                     ///< [..., C]
    Tensor gamma;                 ///< [C]
    Tensor beta;                  ///< [C]
    Tensor running_mean;          ///< [C], updated in place by train
    Tensor running_var;           ///< [C], unbiased, updated in place by train
    Tensor residual;              ///< of x's shape; undefined: none
    Tensor batches_tracked = {};  ///< i64 [], counted up by train; undefined: nothing is counted
  };
  virtual BatchnormActForward batchnorm_act_train(const BatchnormActArguments& arguments,
                                                  const BatchnormActOptions& options) = 0;
  virtual Tensor batchnorm_act_eval(const BatchnormActArguments& arguments,
                                    const BatchnormActOptions& options) = 0;
  struct BatchnormActSaved {
    Tensor x;
    Tensor gamma;
    Tensor mean;
    Tensor inv_std;
    Tensor mask;
    bool has_residual = false;

    /// Whether there are a residual and a ReLU, which lets some of the gradient through to both.
    bool masks_residual() const { return has_residual && mask.defined(); }
  };
  /// From dy + more, rounded to their type; `more` is undefined unless saved.masks_residual().
  virtual BatchnormActBackward batchnorm_act_backward(const Tensor& dy, const Tensor& more,
                                                      const BatchnormActSaved& saved) = 0;

  // Pooling.
  struct MaxPool2dForward {
    Tensor y;
    Tensor index;  ///< u8, y's shape: position row * window + column of the (first) maximum in its window
  };
  virtual MaxPool2dForward max_pool2d(const Tensor& x, const MaxPool2dOptions& options) = 0;
  virtual Tensor max_pool2d_backward(const Tensor& dy, const Tensor& index, const Shape& x_shape,
                                     const MaxPool2dOptions& options) = 0;
  virtual Tensor global_avg_pool(const Tensor& x) = 0;  ///< [N, H, W, C] -> [N, C]
  virtual Tensor global_avg_pool_backward(const Tensor& dy, const Shape& x_shape) = 0;

  // Linear: y = x w^T + b with x [N, I], w [O, I] f32, b [O] f32. y and dx have x's type, dw and db are f32.
  virtual Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) = 0;
  virtual Tensor linear_backward_input(const Tensor& dy, const Tensor& w) = 0;
  virtual Tensor linear_backward_weight(const Tensor& dy, const Tensor& x) = 0;
  virtual Tensor linear_backward_bias(const Tensor& dy) = 0;  ///< sum of rows

  // Softmax cross-entropy: mean over the batch, weighted by class where `class_weights` [K] is defined, as
  // PyTorch.
  struct SoftmaxCrossEntropyForward {
    Tensor loss;     ///< f32 []
    Tensor dlogits;  ///< d loss / d logits, f32 [N, K]
    Tensor correct;  ///< f32 []: rows whose largest logit, the first of equals, is at their label
  };
  virtual SoftmaxCrossEntropyForward softmax_cross_entropy(const Tensor& logits, const Tensor& labels,
                                                           const Tensor& class_weights,
                                                           const SoftmaxCrossEntropyOptions& options) = 0;
  virtual Tensor softmax(const Tensor& logits) = 0;  ///< [N, K] -> f32 probabilities

  // Elementwise.
  virtual Tensor add(const Tensor& a, const Tensor& b) = 0;
  virtual Tensor relu(const Tensor& x) = 0;
  virtual Tensor relu_backward(const Tensor& dy, const Tensor& y) = 0;
  virtual Tensor dropout(const Tensor& x,
                         const DropoutOptions& options) = 0;  ///< its own gradient, applied to dy
  virtual Tensor cast(const Tensor& x, DType dtype) = 0;
  /// x times the single element of `factor`, in `dtype`.
  virtual Tensor scale(const Tensor& x, const Tensor& factor, DType dtype) = 0;

  /// u8 [N, H, W, C] to y [N, crop_height, crop_width, channels after fusion]; one view an image.
  virtual void preprocess(const Tensor& images, std::span<const View> views, const PreprocessOptions& options,
                          Tensor& y) = 0;

  /// sums i64 [C + 1, C] += of x u8 [..., C], C from 1 to 8: the channels' sums, then their products'.
  virtual void channel_sums(const Tensor& x, Tensor& sums) = 0;

  // Optimizers, over all parameters at once, by the scalars of `state` on this device (see StepScalars). All can be
  // captured.
  /// The first part of a step: the gradients' norm and what follows from it.
  virtual void begin_step(std::span<const Tensor> gradients, const StepState& state,
                          const StepRules& rules) = 0;
  virtual void sgd_step(std::span<const OptimizerTerm> terms, const StepState& state,
                        const SgdOptions& options) = 0;
  virtual void adamw_step(std::span<const OptimizerTerm> terms, const StepState& state,
                          const AdamwOptions& options) = 0;
  /// average = decay * average + (1 - decay) * w, in place, with the one f32 element of `decay`.
  struct EmaTerm {
    Tensor average;
    Tensor w;
  };
  virtual void ema_step(std::span<const EmaTerm> terms, const Tensor& decay) = 0;
};

/// The process's backend for a device. Throws Error where this build or this machine has none, saying which.
Backend& backend(Device device);
/// The one that all of the tensors are on. Throws CheckError where one is undefined or on another device.
Backend& backend_of(std::initializer_list<const Tensor*> tensors);

/// "" where backend(Device::cuda) works, else why not.
std::string why_no_cuda();
/// Whether Device::cuda is the emulator: right, but far slower than Device::cpu.
bool cuda_is_emulated();
/// What Device::cuda is: the GPU's name and its software. Throws Error where there is none.
std::string cuda_description();

}  // namespace cytograd
