// Softmax, and softmax cross-entropy with its gradient.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct SoftmaxCrossEntropyArguments {
  const void* logits = nullptr;  ///< [rows, classes]
  ElementType type = ElementType::f32;
  const int64_t* labels = nullptr;       ///< [rows]; one out of range makes loss and gradient NaN
  const float* class_weights = nullptr;  ///< [classes]; null: all 1
  float* loss = nullptr;                 ///< [1]
  float* correct = nullptr;      ///< [1]: rows whose largest logit, the first of equals, is at their label
  float* dlogits = nullptr;      ///< [rows, classes]
  float* row_results = nullptr;  ///< [2, rows], for the kernels' own use
  int64_t rows = 0;
  int64_t classes = 0;
  float label_smoothing = 0.0f;
};
/// Mean loss of the batch weighted by class, and its gradient; as torch.nn.functional.cross_entropy. In two launches.
void launch_softmax_cross_entropy(const SoftmaxCrossEntropyArguments& arguments, device::Stream stream);

struct SoftmaxArguments {
  const void* logits = nullptr;  ///< [rows, classes]
  ElementType type = ElementType::f32;
  float* probabilities = nullptr;  ///< [rows, classes]
  int64_t rows = 0;
  int64_t classes = 0;
};
void launch_softmax(const SoftmaxArguments& arguments, device::Stream stream);

}  // namespace cytograd
