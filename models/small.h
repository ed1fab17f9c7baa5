// A few convolutions: trains in minutes on a CPU, a first answer and a baseline.
#pragma once

#include <array>

#include "models/model.h"

namespace cytograd {

/// Four 3x3 convolutions of 32, 64, 128 and 256 channels, all but the second of stride 2, each with batch
/// norm and ReLU; then global average pool and a linear layer. About 0.4 million parameters.
class SmallNet final : public Model {
 public:
  explicit SmallNet(const ModelOptions& options);

  Variable forward(const Variable& x, const Pass& pass) override;
  ModelState state() override;

 private:
  struct Stage {
    Conv2d conv;
    BatchnormAct norm;
  };
  LearnedFusion fusion_;
  std::array<Stage, 4> stages_;
  ClassifierHead head_;
};

}  // namespace cytograd
