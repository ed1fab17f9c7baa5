// A classifier and the factory that makes one by name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/layers.h"

namespace cytograd {

/// How a ResNet starts: 7x7 convolution of stride 2 and a max pool, or for small images one 3x3 of stride 1.
enum class Stem : uint8_t { conv7x7, conv3x3 };

struct ModelOptions {
  std::string name = "resnet18";  ///< one of model_names()
  int64_t channels = 3;           ///< of the input
  int64_t classes = 2;
  int64_t learned_fusion = 0;   ///< K > 0: a trained 1x1 convolution to K channels comes first
  Stem stem = Stem::conv7x7;    ///< of a ResNet
  bool zero_init_last = false;  ///< the last norm of each residual block starts at gamma 0 (arXiv:1706.02677)
  float dropout = 0.0f;         ///< before the last layer
  uint64_t seed = 0;            ///< of the initial weights
};

class Model {
 public:
  virtual ~Model() = default;
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// [N, H, W, channels] -> logits [N, classes].
  virtual Variable forward(const Variable& x, const Pass& pass) = 0;
  /// What the layers own; pointers live as long as the model.
  virtual ModelState state() = 0;
};

const std::vector<std::string>& model_names();

/// Throws Error for an unknown name.
std::unique_ptr<Model> make_model(const ModelOptions& options);

/// Puts parameters and running statistics on a device. Variables taken from the model before are not its own any more.
void move_to(Model& model, Device device);

/// Parts that every model begins or ends with.
class LearnedFusion {
 public:
  explicit LearnedFusion(const ModelOptions& options);

  /// Channels that follow it.
  int64_t channels() const { return channels_; }
  Variable operator()(const Variable& x) const { return enabled_ ? convolution_(x) : x; }
  void collect(ModelState& state);

 private:
  bool enabled_;
  int64_t channels_;
  Conv2d convolution_;  // "fusion.weight" [K, 1, 1, C]
};

class ClassifierHead {
 public:
  ClassifierHead(const ModelOptions& options, int64_t features);

  /// [N, H, W, features] -> [N, classes]: global average pool, dropout, "fc".
  Variable operator()(const Variable& x, const Pass& pass) const;
  void collect(ModelState& state) { fc_.collect(state); }

 private:
  float dropout_;
  Linear fc_;
};

}  // namespace cytograd
