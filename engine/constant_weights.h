// What the CPU makes of weights for itself, other layouts and types of them, where they do not change. A GPU casts them
// for each pass.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "engine/tensor.h"

namespace cytograd {

/// Each is kept beside the others.
enum class WeightForm : int64_t {
  rounded_to_bf16,  ///< in f32
  panels,           ///< of conv2d_product
  winograd_2,       ///< transformed for tiles of 2x2
  winograd_4,       ///< of 4x4
  onednn            ///< and beyond: oneDNN's layouts, as they are met
};

/// While one lives, weights that its thread's convolutions and linear layers are given do not change, as in evaluation:
/// what is made of them is made once, and takes memory until then, as do weights that are made anew for each pass.
class ConstantWeights {
 public:
  ConstantWeights();
  ~ConstantWeights();
  ConstantWeights(const ConstantWeights&) = delete;
  ConstantWeights& operator=(const ConstantWeights&) = delete;

  /// What `make` makes of w: while weights are constant, what it made of the same w first.
  static Tensor made_of(const Tensor& w, WeightForm form, const std::function<Tensor()>& make);

 private:
  struct Made {
    Tensor w;  // kept too, so that no other is ever at its address
    Tensor form;
  };
  std::map<std::pair<const void*, WeightForm>, Made> made_;
  bool is_outermost_ = false;
};

/// While one lives, none are constant: for weights that are copied for each call.
class PassingWeights {
 public:
  PassingWeights();
  ~PassingWeights();
  PassingWeights(const PassingWeights&) = delete;
  PassingWeights& operator=(const PassingWeights&) = delete;

 private:
  ConstantWeights* suspended_;
};

}  // namespace cytograd
