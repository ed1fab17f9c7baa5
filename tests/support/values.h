// Tensors of any floating type from and to f64, for tests that check an op against plain loops in f64.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/backend.h"
#include "engine/philox.h"
#include "tests/support/random_bytes.h"

namespace cytograd::test {

/// The values rounded to `dtype`.
inline Tensor tensor_of(const std::vector<double>& values, const Shape& shape, DType dtype = DType::f32) {
  Tensor t = Tensor::empty(shape, dtype);
  dispatch_float(dtype, [&]<typename T>(TypeTag<T>) {
    for (size_t i = 0; i < values.size(); ++i) t.data<T>()[i] = T(static_cast<float>(values[i]));
  });
  return t;
}

inline std::vector<double> values_of(const Tensor& t) {
  std::vector<double> values(static_cast<size_t>(t.elements()));
  dispatch_float(t.dtype(), [&]<typename T>(TypeTag<T>) {
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>(static_cast<float>(t.data<T>()[i]));
  });
  return values;
}

/// Normal with this mean and deviation, rounded to `dtype`.
inline Tensor normal(const Shape& shape, uint64_t seed, DType dtype = DType::f32, double mean = 0.0,
                     double deviation = 1.0) {
  Philox random(seed);
  std::vector<double> values(static_cast<size_t>(shape.elements()));
  for (double& v : values) v = mean + deviation * static_cast<double>(random.normal());
  return tensor_of(values, shape, dtype);
}

/// The greater of two errors. No number is greater than a NaN, which std::max may lose.
inline double worse(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// max |a - b| / max |b|; NaN where one is, infinite where they are not as many.
inline double greatest_error(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0.0, scale = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = worse(difference, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return difference / scale;
}

/// max |a - b| / (1 + |b|); NaN where one is.
inline double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  CHECK(a.size() == b.size(), "{} and {} values", a.size(), b.size());
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i) worst = worse(worst, std::abs(a[i] - b[i]) / (1.0 + std::abs(b[i])));
  return worst;
}

/// Half a unit in the last place of 1: the relative error of one rounding to `dtype`.
inline double rounding(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
}

/// Runs with this many OpenMP threads while it lives.
class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace cytograd::test
