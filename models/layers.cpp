#include "models/layers.h"

#include <cmath>
#include <utility>

#include "engine/fnv1a.h"
#include "engine/philox.h"

namespace cytograd {
namespace {

/// Initial values depend on the seed and the parameter's own name alone.
template <typename Draw>
Variable leaf(const std::string& name, const Shape& shape, uint64_t seed, Draw draw) {
  Philox philox(seed, fnv1a(name));
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = draw(philox);
  return Variable::leaf(Tensor::from(values, shape));
}

}  // namespace

Conv2d::Conv2d(std::string name, const Options& options, uint64_t seed)
    : name_(std::move(name)), options_{options.stride, (options.window - 1) / 2} {
  const float std = std::sqrt(2.0f / static_cast<float>(options.out * options.window * options.window));
  weight_ = leaf(name_ + ".weight", {options.out, options.window, options.window, options.in}, seed,
                 [std](Philox& philox) { return std * philox.normal(); });
}

void Conv2d::collect(ModelState& state) { state.parameters.push_back({name_ + ".weight", &weight_, true}); }

BatchnormAct::BatchnormAct(std::string name, const Options& options) : name_(std::move(name)) {
  const Shape channels{options.channels};
  parameters_.gamma = Variable::leaf(Tensor::full(channels, options.initial_gamma));
  parameters_.beta = Variable::leaf(Tensor::zeros(channels));
  parameters_.running_mean = Tensor::zeros(channels);
  parameters_.running_var = Tensor::full(channels, 1.0f);
  parameters_.batches_tracked = Tensor::zeros({}, DType::i64);
  options_.relu = options.relu;
}

Variable BatchnormAct::operator()(const Variable& x, const Pass& pass, const Variable& residual) {
  if (!pass.training) return batchnorm_act_eval(x.value(), parameters_, residual.value(), options_);
  if (!pass.statistics_momentum) return batchnorm_act(x, parameters_, residual, options_);
  BatchnormParameters uncounted = parameters_;
  uncounted.batches_tracked = {};
  BatchnormActOptions options = options_;
  options.momentum = *pass.statistics_momentum;
  return batchnorm_act(x, uncounted, residual, options);
}

void BatchnormAct::collect(ModelState& state) {
  state.parameters.push_back({name_ + ".weight", &parameters_.gamma, false});
  state.parameters.push_back({name_ + ".bias", &parameters_.beta, false});
  state.buffers.push_back({name_ + ".running_mean", &parameters_.running_mean});
  state.buffers.push_back({name_ + ".running_var", &parameters_.running_var});
  state.buffers.push_back({name_ + ".num_batches_tracked", &parameters_.batches_tracked});
}

Linear::Linear(std::string name, int64_t in, int64_t out, uint64_t seed) : name_(std::move(name)) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(in));
  const auto draw = [bound](Philox& philox) { return philox.uniform(-bound, bound); };
  weight_ = leaf(name_ + ".weight", {out, in}, seed, draw);
  bias_ = leaf(name_ + ".bias", {out}, seed, draw);
}

void Linear::collect(ModelState& state) {
  state.parameters.push_back({name_ + ".weight", &weight_, true});
  state.parameters.push_back({name_ + ".bias", &bias_, false});
}

}  // namespace cytograd
