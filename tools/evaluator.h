// Runs a model over images and collects class probabilities.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "data/loader.h"
#include "models/model.h"
#include "tools/metrics.h"
#include "tools/progress.h"

namespace cytograd {

struct EvaluatorOptions {
  PreprocessOptions preprocess;
  Device device = Device::cpu;
  int64_t classes = 0;
  int64_t ranks = 5;  ///< Predictions::ranks, or all classes where there are fewer
  /// Called for each image with the probabilities of all classes; may be empty.
  std::function<void(int64_t sample, std::span<const float> probabilities)> each = {};
};

/// Images that a model is put to, and how they are loaded.
struct EvaluationImages {
  ImageStore& store;
  std::vector<int64_t> samples;
  std::vector<int64_t> labels = {};  ///< aligned; empty: unknown
  LoaderOptions loader;
  /// Aligned; empty: all are classified by the model's own batch norm statistics. Else each domain's are classified by
  /// statistics of its own (adaptive batch norm, Li et al., arXiv:1603.04779): means over up to 64 batches of its
  /// images, and the model's own with the weight of kOwnStatisticsImages images (Schneider et al., arXiv:2006.16971).
  /// The model's own stand for a domain of one image.
  std::vector<int64_t> domains = {};
};

inline constexpr double kOwnStatisticsImages = 16;

struct Evaluated {
  Predictions predictions;                  ///< of every readable image, in the order of the samples
  std::vector<UnreadableImage> unreadable;  ///< those left out
};

/// The model is the same afterwards. `progress` may be null. Throws Error where the network answers with what is no
/// number.
Evaluated run_model(Model& model, const EvaluationImages& images, const EvaluatorOptions& options,
                    Progress* progress);

/// Makes the batch norms' running statistics means over the loader's images, at most 64 batches, and over what they
/// were with the weight of `own_images` images. As torch.optim.swa_utils.update_bn, which takes all batches, each as
/// one whatever its size.
void estimate_statistics(Model& model, Loader& loader, const EvaluatorOptions& options, double own_images);

}  // namespace cytograd
