// The layers that networks are made of: parameters, their initial values and names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/parameter.h"

namespace cytograd {

/// Collects what a model's layers own, in torchvision's order.
struct ModelState {
  std::vector<Parameter> parameters;
  std::vector<NamedBuffer> buffers;
};

/// A pass through the network: training or evaluation, and the key of its dropout.
struct Pass {
  bool training = false;
  uint64_t seed = 0;
  Tensor step = {};  ///< i64 [] on the model's device; with `seed`, what dropout draws from
  /// In training, in place of the layers' own: 1 / k in the k-th of several passes makes the running statistics the
  /// means of theirs. Such passes are not counted.
  std::optional<float> statistics_momentum = {};
};

/// Convolution without bias. Initial weights: He normal, fan out (He et al., arXiv:1502.01852), as
/// torchvision.
class Conv2d {
 public:
  struct Options {
    int64_t in = 0;
    int64_t out = 0;
    int64_t window = 3;
    int64_t stride = 1;
  };

  Conv2d() = default;
  /// `name` and `seed` alone decide the initial weights. Padding is (window - 1) / 2.
  Conv2d(std::string name, const Options& options, uint64_t seed);

  /// [N, H, W, in] -> [N, H', W', out].
  Variable operator()(const Variable& x) const { return conv2d(x, weight_, options_); }
  void collect(ModelState& state);

 private:
  std::string name_;
  Variable weight_;  // [out, window, window, in]
  Conv2dOptions options_;
};

/// Batch norm with an optional residual add and ReLU.
class BatchnormAct {
 public:
  struct Options {
    int64_t channels = 0;
    bool relu = true;
    float initial_gamma = 1.0f;
  };

  BatchnormAct() = default;
  BatchnormAct(std::string name, const Options& options);

  /// [..., C] -> the same shape; `residual` may be undefined.
  Variable operator()(const Variable& x, const Pass& pass, const Variable& residual = {});
  void collect(ModelState& state);

 private:
  std::string name_;
  BatchnormParameters parameters_;
  BatchnormActOptions options_;
};

/// y = x w^T + b, initialised as torch.nn.Linear: uniform in +-1 / sqrt(in).
class Linear {
 public:
  Linear() = default;
  Linear(std::string name, int64_t in, int64_t out, uint64_t seed);

  /// [N, in] -> [N, out].
  Variable operator()(const Variable& x) const { return linear(x, weight_, bias_); }
  void collect(ModelState& state);

 private:
  std::string name_;
  Variable weight_;  // [out, in]
  Variable bias_;    // [out]
};

}  // namespace cytograd
