// Each step sends a table of its terms, some 10 KB for a large network, and launches one kernel: gradients are new
// tensors in each step, so that no table of an earlier step would do. Such a step cannot be captured, since the table
// would be sent again from host memory that is gone.
#include <cmath>
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
StepTerm step_term(const OptimizerTerm& t, float learning_rate) {
  CHECK(t.w.shape() == t.dw.shape(), "w {}, dw {}", t.w.shape(), t.dw.shape());
  StepTerm term = gradient_term(t.dw);
  term.w = parameter(t.w);
  term.keep = 1.0f - learning_rate * t.weight_decay;
  return term;
}

const float* factor(const Tensor& gradient_scale) {
  CHECK(gradient_scale.elements() == 1 && gradient_scale.device() == Device::cuda, "gradient scale {} on {}",
        gradient_scale.shape(), device_name(gradient_scale.device()));
  return gradient_scale.data<float>();
}

/// Terms on the device, while this lives and for what is queued until then.
class Table {
 public:
  Table(std::vector<StepTerm>& terms, device::Stream stream) {
    const auto count = static_cast<int64_t>(terms.size());
    table_.chunks = number_chunks(terms.data(), count);
    CHECK(table_.chunks <= INT32_MAX, "{} chunks", table_.chunks);  // a launch takes no more blocks
    table_.count = count;
    storage_ = Tensor::empty({count * static_cast<int64_t>(sizeof(StepTerm))}, DType::u8, Device::cuda);
    device::copy(storage_.raw(), terms.data(), storage_.bytes(), stream);
    table_.terms = static_cast<const StepTerm*>(storage_.raw());
  }
  const StepTerms& get() const { return table_; }

 private:
  Tensor storage_;
  StepTerms table_;
};

}  // namespace

void CudaBackend::sgd_step(std::span<const OptimizerTerm> terms, const Tensor& gradient_scale,
                           const SgdOptions& options) {
  const device::Range range("sgd_step");
  CHECK(!capturing_);
  std::vector<StepTerm> host;
  for (const OptimizerTerm& t : terms) {
    host.push_back(step_term(t, options.learning_rate));
    if (options.momentum != 0.0f) host.back().first = moment(t.first, t.w);
  }
  const Table table(host, stream());
  launch_sgd({.table = table.get(),
              .gradient_scale = factor(gradient_scale),
              .learning_rate = options.learning_rate,
              .momentum = options.momentum,
              .nesterov = options.nesterov},
             stream());
}

void CudaBackend::adamw_step(std::span<const OptimizerTerm> terms, const Tensor& gradient_scale,
                             const AdamwOptions& options) {
  const device::Range range("adamw_step");
  CHECK(!capturing_);
  CHECK(options.step >= 1, "step {}", options.step);
  std::vector<StepTerm> host;
  for (const OptimizerTerm& t : terms) {
    host.push_back(step_term(t, options.learning_rate));
    host.back().first = moment(t.first, t.w);
    host.back().second = moment(t.second, t.w);
  }
  const auto step = static_cast<double>(options.step);
  const double correction1 = 1.0 - std::pow(static_cast<double>(options.beta1), step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(options.beta2), step);
  const Table table(host, stream());
  launch_adamw({.table = table.get(),
                .gradient_scale = factor(gradient_scale),
                .beta1 = options.beta1,
                .beta2 = options.beta2,
                .epsilon = options.epsilon,
                .step_size = static_cast<float>(options.learning_rate / correction1),
                .root_factor = static_cast<float>(1.0 / std::sqrt(correction2))},
               stream());
}

void CudaBackend::ema_step(std::span<const EmaTerm> terms, float decay) {
  const device::Range range("ema_step");
  CHECK(!capturing_);
  std::vector<StepTerm> host;
  for (const EmaTerm& t : terms) {
    host.push_back({.w = moment(t.average, t.w), .x = parameter(t.w), .count = t.w.elements()});
  }
  const Table table(host, stream());
  launch_ema(table.get(), decay, stream());
}

Tensor CudaBackend::clip_norm(std::span<const Tensor> gradients, float max_norm) {
  const device::Range range("clip_norm");
  CHECK(!capturing_);
  std::vector<StepTerm> host;
  for (const Tensor& dw : gradients) host.push_back(gradient_term(dw));
  const Table table(host, stream());
  Tensor sums =
      Tensor::empty({table.get().chunks * static_cast<int64_t>(sizeof(double))}, DType::u8, Device::cuda);
  Tensor result = empty({2});
  launch_clip_norm({.table = table.get(),
                    .sums = static_cast<double*>(sums.raw()),
                    .max_norm = max_norm,
                    .result = result.data<float>()},
                   stream());
  return result;
}

}  // namespace cytograd
