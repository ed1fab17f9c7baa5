// Gradients against differences, along random directions.
//
// For L(x) = sum_i c_i y_i(x) with random c, a direction v of random signs and a step h,
//   L(x + h v) - L(x - h v) = 2 h g.v + O(h^3),   and   8 D(h) - D(2h) = 12 h g.v + O(h^5)
// for D the left side (Richardson): the fourth order leaves h large, so that f32 results summed in f64 give
// five digits. x + h v is rounded to f32 and the difference of the rounded points is what g is multiplied
// with.
//
// E[(e.v)^2] = |e|^2 for an error e of the gradient, so that errors are measured in |g|: one element of a
// thousand that is wrong by its own size shows as 3e-2.
#pragma once

#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "tests/op_case.h"

namespace cytograd::test {

using DifferentiableFunction = std::function<Variable(std::span<const Variable>)>;

struct GradientCheckOptions {
  float step = 0x1p-5f;  ///< h
  int directions = 4;    ///< for each input
  std::string seed = {};
};

struct GradientCheckResult {
  double worst = 0.0;  ///< over inputs and directions: |difference - g.v| / |g|
  size_t input = 0;    ///< where it is
  bool kink_crossed =
      false;  ///< an element of y was 0 on one side and not on the other: a step over a ReLU's kink
};

namespace detail {

/// How 8 D(h) - D(2h) differs from what the gradient `g` predicts, in units of 12 h.
class DirectionCheck {
 public:
  DirectionCheck(const DifferentiableFunction& f, std::span<const Variable> inputs, size_t k,
                 const std::vector<float>& c)
      : f_(f), inputs_(inputs.begin(), inputs.end()), k_(k), x_(values_of(inputs[k].value())), c_(c) {}

  double error(const std::vector<float>& g, const std::vector<float>& v, float h) {
    return (8.0 * excess(g, v, h) - excess(g, v, 2.0f * h)) / (12.0 * static_cast<double>(h));
  }
  bool kink_crossed() const { return kink_crossed_; }

 private:
  /// D(h) - g.(difference of the points).
  double excess(const std::vector<float>& g, const std::vector<float>& v, float h) {
    std::vector<float> above(x_.size());
    std::vector<float> below(x_.size());
    double predicted = 0.0;
    for (size_t i = 0; i < x_.size(); ++i) {
      above[i] = x_[i] + h * v[i];
      below[i] = x_[i] - h * v[i];
      predicted +=
          static_cast<double>(g[i]) * (static_cast<double>(above[i]) - static_cast<double>(below[i]));
    }
    const std::vector<float> y_above = evaluate(above);
    const std::vector<float> y_below = evaluate(below);
    double difference = 0.0;
    for (size_t i = 0; i < c_.size(); ++i) {
      difference +=
          static_cast<double>(c_[i]) * (static_cast<double>(y_above[i]) - static_cast<double>(y_below[i]));
      kink_crossed_ = kink_crossed_ || (y_above[i] == 0.0f) != (y_below[i] == 0.0f);
    }
    return difference - predicted;
  }

  std::vector<float> evaluate(const std::vector<float>& x) {
    const NoGrad no_grad;
    const Tensor& old = inputs_[k_].value();
    inputs_[k_] = Variable::leaf(tensor_of(x, old.shape(), old.dtype(), old.device()));
    return values_of(f_(inputs_).value());
  }

  const DifferentiableFunction& f_;
  std::vector<Variable> inputs_;
  size_t k_;
  std::vector<float> x_;
  const std::vector<float>& c_;
  bool kink_crossed_ = false;
};

}  // namespace detail

/// Checks the gradient of `f` by each of `inputs` that requires one. All are f32.
inline GradientCheckResult check_gradients(const DifferentiableFunction& f, std::span<const Variable> inputs,
                                           const GradientCheckOptions& options = {}) {
  std::vector<size_t> differentiable;
  std::vector<Variable> wrt;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].requires_grad()) continue;
    differentiable.push_back(k);
    wrt.push_back(inputs[k]);
  }
  Tape tape;
  const Variable y = f(inputs);
  const std::vector<float> c = draw_values({.name = "dy", .shape = y.shape()}, options.seed);
  const std::vector<Tensor> gradients = tape.backward(weighted_sum(y, c), wrt);

  GradientCheckResult result;
  for (size_t j = 0; j < differentiable.size(); ++j) {
    const std::vector<float> g = values_of(gradients[j]);
    const double norm = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
    detail::DirectionCheck check(f, inputs, differentiable[j], c);
    Philox philox(hash(options.seed), hash("directions"), static_cast<uint32_t>(j));
    for (int d = 0; d < options.directions; ++d) {
      std::vector<float> v(g.size());
      for (float& sign : v) sign = philox.below(2) == 0 ? -1.0f : 1.0f;
      const double difference = std::abs(check.error(g, v, options.step));
      // A gradient of zero has no scale: then the difference itself, from values of order 1, is the error.
      const double error = norm > 0.0 ? difference / norm : difference;
      if (!(error <= result.worst)) {
        result.worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
        result.input = differentiable[j];
      }
    }
    result.kink_crossed = result.kink_crossed || check.kink_crossed();
  }
  return result;
}

}  // namespace cytograd::test
