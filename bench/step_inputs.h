// What a training step is measured on: its configuration, its inputs, and the phases that make them from raw images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/raw_images.h"
#include "bench/training.h"

namespace cytograd::bench {

struct StepConfiguration {
  ModelOptions model;
  int64_t size = 0;  ///< side of the network's input
  int64_t batch = 0;
  DType dtype = DType::f32;
  Device device = Device::cpu;
};

/// As `cytograd train` has them by default: random crops, mirrored and turned, each channel of an image normalised.
class StepInputs {
 public:
  /// Normal noise; with `raw`, also images to load, an eighth larger than the crops.
  StepInputs(const StepConfiguration& configuration, bool raw);

  const Tensor& x() const { return x_; }            ///< [N, H, W, C] on the device
  const Tensor& labels() const { return labels_; }  ///< i64 [N] there

  /// load and preprocess, which overwrite x and labels; none without raw images. A load gathers and stages a batch
  /// while the step waits, and uploads it, where training has workers gather ahead.
  std::vector<Phase> phases();

  /// As training has it; needs raw images.
  std::unique_ptr<Loader> loader(int64_t batches);
  PreprocessOptions preprocessing() const;

 private:
  void load();

  StepConfiguration configuration_;
  Tensor x_;
  Tensor labels_;
  std::unique_ptr<RawImages> images_;
  int64_t next_epoch_ = 0;
  Batch batch_;
  Tensor uploaded_;
};

}  // namespace cytograd::bench
