#include "models/resnet.h"

#include <array>

namespace cytograd {
namespace {

struct Architecture {
  std::array<int64_t, 4> blocks;
  bool bottleneck;
};

Architecture architecture(const std::string& name) {
  if (name == "resnet18") return {{2, 2, 2, 2}, false};
  if (name == "resnet34") return {{3, 4, 6, 3}, false};
  if (name == "resnet50") return {{3, 4, 6, 3}, true};
  fail("unknown ResNet '{}'", name);
}

constexpr int64_t kStemChannels = 64;
constexpr int64_t kExpansion = 4;  // of a bottleneck

int64_t output_channels(int64_t width, bool bottleneck) { return bottleneck ? width * kExpansion : width; }

}  // namespace

ResidualBlock::ResidualBlock(const std::string& name, const Options& options, uint64_t seed) {
  const auto stage = [&](int64_t number, const Conv2d::Options& conv, bool last) {
    const std::string n = std::to_string(number);
    stages_.push_back(
        {Conv2d(name + ".conv" + n, conv, seed),
         BatchnormAct(name + ".bn" + n, {.channels = conv.out,
                                         .relu = true,
                                         .initial_gamma = last && options.zero_init_last ? 0.0f : 1.0f})});
  };
  const int64_t width = options.width;
  const int64_t out = output_channels(width, options.bottleneck);
  if (options.bottleneck) {
    stage(1, {.in = options.in, .out = width, .window = 1}, false);
    stage(2, {.in = width, .out = width, .window = 3, .stride = options.stride}, false);
    stage(3, {.in = width, .out = out, .window = 1}, true);
  } else {
    stage(1, {.in = options.in, .out = width, .window = 3, .stride = options.stride}, false);
    stage(2, {.in = width, .out = width, .window = 3}, true);
  }
  if (options.stride != 1 || options.in != out) {
    downsample_.push_back(
        {Conv2d(name + ".downsample.0", {.in = options.in, .out = out, .window = 1, .stride = options.stride},
                seed),
         BatchnormAct(name + ".downsample.1", {.channels = out, .relu = false})});
  }
}

Variable ResidualBlock::operator()(const Variable& x, const Pass& pass) {
  Variable shortcut = x;
  for (Stage& stage : downsample_) shortcut = stage.norm(stage.conv(x), pass);
  Variable y = x;
  for (size_t i = 0; i + 1 < stages_.size(); ++i) y = stages_[i].norm(stages_[i].conv(y), pass);
  return stages_.back().norm(stages_.back().conv(y), pass, shortcut);
}

void ResidualBlock::collect(ModelState& state) {
  for (auto* stages : {&stages_, &downsample_}) {
    for (Stage& stage : *stages) {
      stage.conv.collect(state);
      stage.norm.collect(state);
    }
  }
}

ResNet::ResNet(const ModelOptions& options)
    : fusion_(options),
      conv1_("conv1",
             {.in = fusion_.channels(),
              .out = kStemChannels,
              .window = options.stem == Stem::conv7x7 ? 7 : 3,
              .stride = options.stem == Stem::conv7x7 ? 2 : 1},
             options.seed),
      bn1_("bn1", {.channels = kStemChannels}),
      pool_(options.stem == Stem::conv7x7),
      head_(options, output_channels(kStemChannels << 3, architecture(options.name).bottleneck)) {
  const Architecture shape = architecture(options.name);
  int64_t in = kStemChannels;
  for (size_t layer = 0; layer < shape.blocks.size(); ++layer) {
    const int64_t width = kStemChannels << layer;
    for (int64_t block = 0; block < shape.blocks[layer]; ++block) {
      blocks_.emplace_back(fmt::format("layer{}.{}", layer + 1, block),
                           ResidualBlock::Options{.in = in,
                                                  .width = width,
                                                  .stride = layer > 0 && block == 0 ? 2 : 1,
                                                  .bottleneck = shape.bottleneck,
                                                  .zero_init_last = options.zero_init_last},
                           options.seed);
      in = output_channels(width, shape.bottleneck);
    }
  }
}

Variable ResNet::forward(const Variable& x, const Pass& pass) {
  Variable y = bn1_(conv1_(fusion_(x)), pass);
  if (pool_) y = max_pool2d(y, {.window = 3, .stride = 2, .padding = 1});
  for (ResidualBlock& block : blocks_) y = block(y, pass);
  return head_(y, pass);
}

ModelState ResNet::state() {
  ModelState state;
  fusion_.collect(state);
  conv1_.collect(state);
  bn1_.collect(state);
  for (ResidualBlock& block : blocks_) block.collect(state);
  head_.collect(state);
  return state;
}

}  // namespace cytograd
