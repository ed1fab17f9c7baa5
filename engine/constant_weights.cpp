#include "engine/constant_weights.h"

#include "engine/check.h"

namespace cytograd {
namespace {

thread_local ConstantWeights* outermost = nullptr;

}  // namespace

ConstantWeights::ConstantWeights() : is_outermost_(outermost == nullptr) {
  if (is_outermost_) outermost = this;
}

ConstantWeights::~ConstantWeights() {
  if (is_outermost_) outermost = nullptr;
}

PassingWeights::PassingWeights() : suspended_(std::exchange(outermost, nullptr)) {}
PassingWeights::~PassingWeights() { outermost = suspended_; }

Tensor ConstantWeights::made_of(const Tensor& w, WeightForm form, const std::function<Tensor()>& make) {
  if (outermost == nullptr) return make();
  auto& all = outermost->made_;
  const std::pair key{w.raw(), form};
  const auto found = all.find(key);
  if (found == all.end()) return all.emplace(key, Made{w, make()}).first->second.form;
  const Made& made = found->second;
  CHECK(made.w.shape() == w.shape() && made.w.dtype() == w.dtype(), "w {}, before {}", w.shape(),
        made.w.shape());
  return made.form;
}

}  // namespace cytograd
