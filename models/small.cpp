#include "models/small.h"

namespace cytograd {
namespace {

constexpr std::array<int64_t, 4> kChannels{32, 64, 128, 256};
constexpr std::array<int64_t, 4> kStrides{2, 1, 2, 2};

}  // namespace

SmallNet::SmallNet(const ModelOptions& options) : fusion_(options), head_(options, kChannels.back()) {
  int64_t in = fusion_.channels();
  for (size_t i = 0; i < stages_.size(); ++i) {
    const std::string n = std::to_string(i + 1);
    stages_[i].conv =
        Conv2d("conv" + n, {.in = in, .out = kChannels[i], .window = 3, .stride = kStrides[i]}, options.seed);
    stages_[i].norm = BatchnormAct("bn" + n, {.channels = kChannels[i]});
    in = kChannels[i];
  }
}

Variable SmallNet::forward(const Variable& x, const Pass& pass) {
  Variable y = fusion_(x);
  for (Stage& stage : stages_) y = stage.norm(stage.conv(y), pass);
  return head_(y, pass);
}

ModelState SmallNet::state() {
  ModelState state;
  fusion_.collect(state);
  for (Stage& stage : stages_) {
    stage.conv.collect(state);
    stage.norm.collect(state);
  }
  head_.collect(state);
  return state;
}

}  // namespace cytograd
