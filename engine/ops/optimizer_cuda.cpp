// Each step sends a table of its terms, some 10 KB for a large network, and launches one kernel. Gradients are new
// tensors in each step, so that no table of an earlier step would do; captured, they are where they were, and the graph
// keeps its table.
#include <vector>

#include "engine/backend_cuda.h"
#include "kernels/optimizer.h"

namespace cytograd {
namespace {

float* parameter(const Tensor& w) {
  CHECK(w.device() == Device::cuda, "w is on {}", device_name(w.device()));
  return const_cast<float*>(w.data<float>());  // a term's tensors are handles; the step is in place
}

float* moment(const Tensor& m, const Tensor& w) {
  CHECK(m.defined() && m.shape() == w.shape(), "w {}, its moment {}", w.shape(), m.shape());
  return parameter(m);
}

StepTerm gradient_term(const Tensor& dw) {
  CHECK(dw.device() == Device::cuda, "a gradient is on {}", device_name(dw.device()));
  return {.x = dw.raw(), .count = dw.elements(), .type = element_type(dw.dtype())};
}

/// Without moments.
StepTerm step_term(const OptimizerTerm& t) {
  CHECK(t.w.shape() == t.dw.shape(), "w {}, dw {}", t.w.shape(), t.dw.shape());
  StepTerm term = gradient_term(t.dw);
  term.w = parameter(t.w);
  term.weight_decay = t.weight_decay;
  return term;
}

StepScalars scalars_of(const StepState& state) {
  CHECK(state.factor.device() == Device::cuda, "the step's scalars are on {}",
        device_name(state.factor.device()));
  return state.scalars();
}

}  // namespace

/// Terms on the device, while `storage` lives and for what is queued until then.
struct CudaBackend::StepTable {
  Tensor storage;
  StepTerms terms;
};

CudaBackend::StepTable CudaBackend::step_table(std::vector<StepTerm>& terms) {
  const auto count = static_cast<int64_t>(terms.size());
  const int64_t chunks = number_chunks(terms.data(), count);
  CHECK(chunks <= INT32_MAX, "{} chunks", chunks);  // a launch takes no more blocks
  Tensor storage = constant(terms.data(), terms.size() * sizeof(StepTerm));
  return {storage, {.terms = static_cast<const StepTerm*>(storage.raw()), .count = count, .chunks = chunks}};
}

void CudaBackend::begin_step(std::span<const Tensor> gradients, const StepState& state,
                             const StepRules& rules) {
  const device::Range range("begin_step");
  std::vector<StepTerm> host;
  for (const Tensor& dw : gradients) host.push_back(gradient_term(dw));
  const StepTable table = step_table(host);
  Tensor sums = empty({table.terms.chunks * static_cast<int64_t>(sizeof(double))}, DType::u8);
  launch_begin_step({.table = table.terms,
                     .sums = static_cast<double*>(sums.raw()),
                     .scalars = scalars_of(state),
                     .rules = rules},
                    stream());
}

void CudaBackend::sgd_step(std::span<const OptimizerTerm> terms, const StepState& state,
                           const SgdOptions& options) {
  const device::Range range("sgd_step");
  std::vector<StepTerm> host;
  for (const OptimizerTerm& t : terms) {
    host.push_back(step_term(t));
    if (options.momentum != 0.0f) host.back().first = moment(t.first, t.w);
  }
  const StepTable table = step_table(host);
  launch_sgd({.table = table.terms,
              .scalars = scalars_of(state),
              .momentum = options.momentum,
              .nesterov = options.nesterov},
             stream());
}

void CudaBackend::adamw_step(std::span<const OptimizerTerm> terms, const StepState& state,
                             const AdamwOptions& options) {
  const device::Range range("adamw_step");
  std::vector<StepTerm> host;
  for (const OptimizerTerm& t : terms) {
    host.push_back(step_term(t));
    host.back().first = moment(t.first, t.w);
    host.back().second = moment(t.second, t.w);
  }
  const StepTable table = step_table(host);
  launch_adamw({.table = table.terms,
                .scalars = scalars_of(state),
                .beta1 = options.beta1,
                .beta2 = options.beta2,
                .epsilon = options.epsilon},
               stream());
}

void CudaBackend::ema_step(std::span<const EmaTerm> terms, const Tensor& decay) {
  const device::Range range("ema_step");
  CHECK(decay.device() == Device::cuda && decay.elements() == 1, "decay {} on {}", decay.shape(),
        device_name(decay.device()));
  std::vector<StepTerm> host;
  for (const EmaTerm& t : terms) {
    host.push_back({.w = moment(t.average, t.w), .x = parameter(t.w), .count = t.w.elements()});
  }
  const StepTable table = step_table(host);
  launch_ema(table.terms, decay.data<float>(), stream());
}

}  // namespace cytograd
