// One op under test as data: its inputs and how they are drawn, its options, its tolerances, and a function
// that runs it. Golden comparison, gradient check, comparison of devices and of types, and benchmarks all
// read this.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "engine/fnv1a.h"
#include "engine/ops.h"
#include "engine/philox.h"

namespace cytograd::test {

/// The key of a stream of draws is the hash of its name, as golden/philox.py has it.
inline uint64_t hash(const std::string& text) { return fnv1a(text); }

/// How values are drawn. All are exact in f32, so that Python draws the same bits.
enum class Fill : uint8_t {
  uniform,   ///< [low, low + range); range is a power of two
  split,     ///< +-[low, low + 1): a gap around 0, for ops with a kink there
  distinct,  ///< a permutation of an even grid in (-1, 1): no two are closer than 2 / elements
  below,     ///< integers in [0, range)
};

enum class Role : uint8_t {
  activation,  ///< has the element type under test; differentiable
  parameter,   ///< always f32; differentiable
  constant,    ///< has its own type; not differentiable
};

struct CaseInput {
  std::string name = {};
  Shape shape = {};
  Role role = Role::activation;
  Fill fill = Fill::uniform;
  float low = -1.0f;
  float range = 2.0f;
  DType dtype = DType::f32;  ///< of a constant
};

struct CaseOutputs {
  Variable y;
  std::vector<std::pair<std::string, Tensor>> state;  ///< what else the op changed
};

struct OpCase {
  std::string name;  ///< "op/what is special"; the seed of its inputs
  std::string op;
  std::vector<CaseInput> inputs = {};
  std::map<std::string, double> attributes = {};  ///< the op's options, for the golden script
  std::function<CaseOutputs(std::span<const Variable>)> run = {};

  /// Against the f64 reference, as max |a - b| / max |b|.
  double tolerance = 1e-5;
  std::string tolerance_reason = "f32 sums in blocks: a few hundred half-ulps of 6e-8 at worst";
  /// In bf16 against f32 from the same rounded inputs.
  double bf16_tolerance = 0x1p-8;
  std::string bf16_tolerance_reason = "each result is rounded once, by 2^-8 of itself at most";
  /// Of the gradient check; see gradient_check.h.
  float step = 0x1p-5f;
  double gradient_tolerance = 5e-5;

  bool differentiable = true;
  bool realistic = false;  ///< a size from training: golden probes instead of all elements, no gradient check
};

/// For GoogleTest's messages.
inline void PrintTo(const OpCase& op_case, std::ostream* out) { *out << op_case.name; }

inline std::vector<float> draw_values(const CaseInput& input, const std::string& seed) {
  Philox philox(hash(seed), hash(input.name));
  std::vector<float> values(static_cast<size_t>(input.shape.elements()));
  switch (input.fill) {
    case Fill::uniform:
      for (float& v : values) v = philox.uniform(input.low, input.low + input.range);
      break;
    case Fill::split:
      for (float& v : values) {
        const float u = philox.uniform(-1.0f, 1.0f);
        v = u < 0.0f ? u - input.low : u + input.low;
      }
      break;
    case Fill::distinct: {
      std::vector<uint32_t> keys(values.size());
      for (uint32_t& key : keys) key = philox.bits();
      std::vector<size_t> order(values.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
      const auto n = static_cast<float>(values.size());
      for (size_t rank = 0; rank < order.size(); ++rank)
        values[order[rank]] = (static_cast<float>(2 * rank + 1) - n) / n;
      break;
    }
    case Fill::below:
      for (float& v : values) v = static_cast<float>(philox.below(static_cast<uint64_t>(input.range)));
      break;
  }
  return values;
}

/// Host values as a tensor of any type, converted by the scalar conversions of dtype.h, not by an op.
inline Tensor tensor_of(const std::vector<float>& values, const Shape& shape, DType dtype, Device device) {
  const auto converted = [&]<typename T>(TypeTag<T>) {
    std::vector<T> result(values.size());
    std::transform(values.begin(), values.end(), result.begin(), [](float v) { return static_cast<T>(v); });
    return Tensor::from(result, shape, device);
  };
  switch (dtype) {
    case DType::u8:
      return converted(TypeTag<uint8_t>{});
    case DType::i64:
      return converted(TypeTag<int64_t>{});
    default:
      return dispatch_float(dtype, converted);
  }
}

/// The elements of a floating tensor on any device.
inline std::vector<float> values_of(const Tensor& tensor) {
  return dispatch_float(tensor.dtype(), [&]<typename T>(TypeTag<T>) {
    const std::vector<T> from = tensor.to_vector<T>();
    std::vector<float> values(from.size());
    std::transform(from.begin(), from.end(), values.begin(), [](T v) { return static_cast<float>(v); });
    return values;
  });
}

inline void round_through(std::vector<float>& values, DType dtype) {
  dispatch_float(dtype, [&]<typename T>(TypeTag<T>) {
    for (float& v : values) v = static_cast<float>(static_cast<T>(v));
  });
}

/// Where and in which type a case runs.
struct RunOptions {
  Device device = Device::cpu;
  DType dtype = DType::f32;    ///< of activations and their gradients
  DType rounded = DType::f32;  ///< activations and dy are rounded to this type first, whatever theirs
};

/// The op's inputs: leaves where they are differentiable.
inline std::vector<Variable> make_inputs(const OpCase& op_case, const RunOptions& options) {
  std::vector<Variable> inputs;
  for (const CaseInput& input : op_case.inputs) {
    std::vector<float> values = draw_values(input, op_case.name);
    const bool activation = input.role == Role::activation;
    if (activation) round_through(values, options.rounded);
    const DType dtype = activation ? options.dtype : input.dtype;
    Tensor tensor = tensor_of(values, input.shape, dtype, options.device);
    inputs.push_back(input.role == Role::constant ? Variable(tensor) : Variable::leaf(tensor));
  }
  return inputs;
}

/// sum_i dy_i y_i as an op, so that `dy` is the gradient that reaches the op under test.
inline Variable weighted_sum(const Variable& y, const std::vector<float>& dy) {
  const std::vector<float> values = values_of(y.value());
  const double sum = std::inner_product(values.begin(), values.end(), dy.begin(), 0.0);
  const Tensor gradient = tensor_of(dy, y.shape(), y.value().dtype(), y.value().device());
  return record("weighted_sum",
                Tensor::from(std::vector<float>{static_cast<float>(sum)}, {}, y.value().device()), {y},
                [gradient](const Tensor&, std::span<const bool>) { return std::vector<Tensor>{gradient}; });
}

inline std::vector<float> draw_dy(const OpCase& op_case, const Shape& shape, DType rounded) {
  std::vector<float> dy = draw_values({.name = "dy", .shape = shape}, op_case.name);
  round_through(dy, rounded);
  return dy;
}

struct NamedValues {
  std::string name;  ///< "y", "d<input>", or the name of a state tensor
  std::vector<float> values;
};

/// The result, the gradients of a random linear functional of it, and the changed state.
inline std::vector<NamedValues> run_case(const OpCase& op_case, const RunOptions& options = {}) {
  const std::vector<Variable> inputs = make_inputs(op_case, options);
  Tape tape;
  const CaseOutputs outputs = op_case.run(inputs);
  std::vector<NamedValues> results{{"y", values_of(outputs.y.value())}};
  for (const auto& [name, tensor] : outputs.state) results.push_back({name, values_of(tensor)});
  if (!op_case.differentiable) return results;

  std::vector<Variable> wrt;
  std::copy_if(inputs.begin(), inputs.end(), std::back_inserter(wrt),
               [](const Variable& v) { return v.requires_grad(); });
  const std::vector<float> dy = draw_dy(op_case, outputs.y.shape(), options.rounded);
  const std::vector<Tensor> gradients = tape.backward(weighted_sum(outputs.y, dy), wrt);
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) continue;
    const Tensor& gradient = gradients[next++];
    CHECK(gradient.shape() == inputs[i].shape(), "d{} is {}", op_case.inputs[i].name, gradient.shape());
    CHECK(gradient.dtype() == inputs[i].value().dtype(), "d{} is {}", op_case.inputs[i].name,
          dtype_name(gradient.dtype()));
    results.push_back({"d" + op_case.inputs[i].name, values_of(gradient)});
  }
  return results;
}

/// max |a - b| / max |b|; NaN, or a difference where b is all zeros, is infinite.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  CHECK(a.size() == b.size(), "{} and {} elements", a.size(), b.size());
  double difference = 0.0;
  double scale = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, d);
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  if (difference == 0.0) return 0.0;
  return scale == 0.0 ? std::numeric_limits<double>::infinity() : difference / scale;
}

}  // namespace cytograd::test
