#include "engine/step_state.h"

namespace cytograd {
namespace {

template <typename T>
T* elements(const Tensor& x) {
  return const_cast<T*>(x.data<T>());  // a tensor is a handle
}

}  // namespace

StepState::StepState(Device device)
    : learning_rate(Tensor::zeros({}, DType::f32, device)),
      loss_scale(Tensor::full({}, 1.0f, DType::f32, device)),
      steady(Tensor::zeros({}, DType::i64, device)),
      attempts(Tensor::zeros({}, DType::i64, device)),
      steps(Tensor::zeros({}, DType::i64, device)),
      norm(Tensor::zeros({}, DType::f32, device)),
      factor(Tensor::zeros({}, DType::f32, device)),
      adamw(Tensor::zeros({2}, DType::f32, device)) {}

StepScalars StepState::scalars() const {
  return {.learning_rate = elements<float>(learning_rate),
          .loss_scale = elements<float>(loss_scale),
          .steady = elements<int64_t>(steady),
          .attempts = elements<int64_t>(attempts),
          .steps = elements<int64_t>(steps),
          .norm = elements<float>(norm),
          .factor = elements<float>(factor),
          .adamw = elements<float>(adamw)};
}

}  // namespace cytograd
