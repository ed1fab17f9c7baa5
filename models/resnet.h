// ResNet-18, -34 and -50 (He et al., arXiv:1512.03385) with torchvision's structure and names; the stride of
// a bottleneck is on its 3x3 convolution, as there.
#pragma once

#include <vector>

#include "models/model.h"

namespace cytograd {

/// Basic: 3x3, 3x3. Bottleneck: 1x1, 3x3, 1x1 with four times the width at its end.
class ResidualBlock {
 public:
  struct Options {
    int64_t in = 0;
    int64_t width = 0;
    int64_t stride = 1;
    bool bottleneck = false;
    bool zero_init_last = false;
  };

  ResidualBlock(const std::string& name, const Options& options, uint64_t seed);

  Variable operator()(const Variable& x, const Pass& pass);
  void collect(ModelState& state);

 private:
  struct Stage {
    Conv2d conv;
    BatchnormAct norm;
  };
  std::vector<Stage> stages_;      // the last adds the shortcut
  std::vector<Stage> downsample_;  // none or one
};

class ResNet final : public Model {
 public:
  explicit ResNet(const ModelOptions& options);

  Variable forward(const Variable& x, const Pass& pass) override;
  ModelState state() override;

 private:
  LearnedFusion fusion_;
  Conv2d conv1_;
  BatchnormAct bn1_;
  bool pool_;
  std::vector<ResidualBlock> blocks_;
  ClassifierHead head_;
};

}  // namespace cytograd
