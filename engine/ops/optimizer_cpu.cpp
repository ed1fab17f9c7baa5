// Multi-tensor optimizer steps: one parallel loop over fixed chunks of all parameters, bound by memory
// (SGD reads 12 and writes 8 bytes an element, AdamW 16 and 12). Norms add chunks in order, in f64, so that
// they do not depend on the number of threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "engine/backend_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kChunk = 16384;

struct Chunk {
  size_t term;
  int64_t begin;
  int64_t end;
};

/// `elements(i)`: elements of term i.
template <typename Elements>
std::vector<Chunk> chunks_of(size_t terms, const Elements& elements) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < terms; ++i) {
    const int64_t count = elements(i);
    for (int64_t begin = 0; begin < count; begin += kChunk)
      chunks.push_back({i, begin, std::min(begin + kChunk, count)});
  }
  return chunks;
}

template <typename Body>
void for_each_chunk(const std::vector<Chunk>& chunks, const Body& body) {
  parallel_for(static_cast<int64_t>(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) body(i, chunks[i]);
  });
}

bool is_float(const Tensor& x) {
  return x.dtype() == DType::f32 || x.dtype() == DType::bf16 || x.dtype() == DType::f16;
}

void check_terms(std::span<const OptimizerTerm> terms, const StepState& state) {
  CHECK(state.factor.device() == Device::cpu, "the step's scalars are on {}",
        device_name(state.factor.device()));
  for (const OptimizerTerm& t : terms) {
    CHECK(t.w.dtype() == DType::f32 && is_float(t.dw) && t.w.shape() == t.dw.shape(), "w {} {}, dw {} {}",
          dtype_name(t.w.dtype()), t.w.shape(), dtype_name(t.dw.dtype()), t.dw.shape());
  }
}

/// The elements of an f32 moment of w's shape.
float* moment(const Tensor& m, const Tensor& w) {
  CHECK(m.defined() && m.dtype() == DType::f32 && m.shape() == w.shape(), "w {}, its moment {}", w.shape(),
        m.shape());
  return const_cast<float*>(m.data<float>());  // a term's tensors are handles; the step is in place
}

float* elements(const Tensor& w) { return const_cast<float*>(w.data<float>()); }

/// update(term, dw, begin, end) for each chunk of the terms, dw being the gradient as what it is.
template <typename Update>
void update_terms(std::span<const OptimizerTerm> terms, const Update& update) {
  const auto chunks = chunks_of(terms.size(), [&](size_t i) { return terms[i].w.elements(); });
  for_each_chunk(chunks, [&](int64_t, const Chunk& chunk) {
    const OptimizerTerm& t = terms[chunk.term];
    dispatch_float(t.dw.dtype(),
                   [&]<typename T>(TypeTag<T>) { update(t, t.dw.data<T>(), chunk.begin, chunk.end); });
  });
}

template <typename T>
double sum_of_squares(const T* x, int64_t count) {
  std::array<double, 16> sum{};
  const auto add = [&](int64_t at, int64_t n) {
    for (int64_t lane = 0; lane < n; ++lane) {
      const auto value = static_cast<double>(static_cast<float>(x[at + lane]));
      sum[lane] += value * value;
    }
  };
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) add(i, 16);
  add(i, count - i);
  double total = 0.0;
  for (const double s : sum) total += s;
  return total;
}

}  // namespace

void CpuBackend::begin_step(std::span<const Tensor> gradients, const StepState& state,
                            const StepRules& rules) {
  for (const Tensor& g : gradients) CHECK(is_float(g), "gradient {} {}", dtype_name(g.dtype()), g.shape());
  const auto chunks = chunks_of(gradients.size(), [&](size_t i) { return gradients[i].elements(); });
  std::vector<double> sums(chunks.size());
  for_each_chunk(chunks, [&](int64_t i, const Chunk& chunk) {
    const Tensor& g = gradients[chunk.term];
    dispatch_float(g.dtype(), [&]<typename T>(TypeTag<T>) {
      sums[i] = sum_of_squares(g.data<T>() + chunk.begin, chunk.end - chunk.begin);
    });
  });
  double square = 0.0;
  for (const double s : sums) square += s;
  cytograd::begin_step(state.scalars(), square, rules);
}

void CpuBackend::sgd_step(std::span<const OptimizerTerm> terms, const StepState& state,
                          const SgdOptions& options) {
  check_terms(terms, state);
  const bool momentum = options.momentum != 0.0f;
  for (const OptimizerTerm& t : terms) {
    if (momentum) moment(t.first, t.w);
  }
  const float factor = *state.scalars().factor;
  const float learning_rate = *state.scalars().learning_rate;
  if (factor == 0.0f) return;
  update_terms(terms,
               [&]<typename T>(const OptimizerTerm& t, const T* __restrict dw, int64_t begin, int64_t end) {
                 const float keep = 1.0f - learning_rate * t.weight_decay;
                 float* __restrict w = elements(t.w);
                 if (!momentum) {
                   for (int64_t i = begin; i < end; ++i)
                     w[i] = w[i] * keep - learning_rate * (static_cast<float>(dw[i]) * factor);
                   return;
                 }
                 float* __restrict first = elements(t.first);
                 const float from_gradient = options.nesterov ? 1.0f : 0.0f;
                 const float from_first = options.nesterov ? options.momentum : 1.0f;
                 for (int64_t i = begin; i < end; ++i) {
                   const float g = static_cast<float>(dw[i]) * factor;
                   first[i] = options.momentum * first[i] + g;
                   w[i] = w[i] * keep - learning_rate * (from_gradient * g + from_first * first[i]);
                 }
               });
}

void CpuBackend::adamw_step(std::span<const OptimizerTerm> terms, const StepState& state,
                            const AdamwOptions& options) {
  check_terms(terms, state);
  for (const OptimizerTerm& t : terms) {
    moment(t.first, t.w);
    moment(t.second, t.w);
  }
  const StepScalars scalars = state.scalars();
  const float factor = *scalars.factor;
  const float learning_rate = *scalars.learning_rate;
  const float step_size = scalars.adamw[0];
  const float root_factor = scalars.adamw[1];
  if (factor == 0.0f) return;
  update_terms(terms,
               [&]<typename T>(const OptimizerTerm& t, const T* __restrict dw, int64_t begin, int64_t end) {
                 const float keep = 1.0f - learning_rate * t.weight_decay;
                 float* __restrict w = elements(t.w);
                 float* __restrict first = elements(t.first);
                 float* __restrict second = elements(t.second);
                 for (int64_t i = begin; i < end; ++i) {
                   const float g = static_cast<float>(dw[i]) * factor;
                   first[i] += (1.0f - options.beta1) * (g - first[i]);
                   second[i] = options.beta2 * second[i] + (1.0f - options.beta2) * g * g;
                   const float denominator = std::sqrt(second[i]) * root_factor + options.epsilon;
                   w[i] = w[i] * keep - step_size * first[i] / denominator;
                 }
               });
}

void CpuBackend::ema_step(std::span<const EmaTerm> terms, const Tensor& decay_tensor) {
  for (const EmaTerm& t : terms) moment(t.average, t.w);
  const float decay = decay_tensor.item();
  const auto chunks = chunks_of(terms.size(), [&](size_t i) { return terms[i].w.elements(); });
  for_each_chunk(chunks, [&](int64_t, const Chunk& chunk) {
    float* __restrict average = elements(terms[chunk.term].average);
    const float* __restrict w = terms[chunk.term].w.data<float>();
    for (int64_t i = chunk.begin; i < chunk.end; ++i) average[i] = decay * average[i] + (1.0f - decay) * w[i];
  });
}

}  // namespace cytograd
