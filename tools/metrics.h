// What a classifier's answers are worth: accuracy, macro accuracy, top-5, per class and per group.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cytograd {

struct RankedClass {
  int32_t index = 0;
  float probability = 0.0f;
};

/// The most probable classes of each of a set of images, aligned with their labels: a million images have no room for
/// a thousand probabilities each.
struct Predictions {
  int64_t classes = 0;
  int64_t ranks = 0;                ///< classes kept of an image; evaluate_predictions takes five, or all
  std::vector<RankedClass> ranked;  ///< [count, ranks], as rank_classes has them
  std::vector<int64_t> labels;      ///< [count]; -1: unknown, left out of every figure
  std::vector<int64_t> samples;     ///< [count], indices into the dataset
  double loss_sum = 0.0;            ///< cross-entropy summed over the images with a label

  std::span<const RankedClass> of_image(size_t i) const {
    const auto count = static_cast<size_t>(ranks);
    return std::span(ranked).subspan(i * count, count);
  }
};

struct Tally {
  int64_t count = 0;
  int64_t correct = 0;

  double accuracy() const {
    return count > 0 ? static_cast<double>(correct) / static_cast<double>(count) : 0.0;
  }
};

struct ClassCount {
  int32_t index = 0;
  int64_t count = 0;
};

struct Evaluation {
  std::string adabn = "none";  ///< what the batch norm's statistics were of: TrainOptions::adaptation()
  int64_t count = 0;
  double loss = 0.0;  ///< mean cross-entropy, without label smoothing or class weights
  double accuracy = 0.0;
  double macro_accuracy = 0.0;  ///< mean over the classes that occur of their accuracy (balanced accuracy)
  double top5_accuracy = 0.0;   ///< the label is among the five most probable classes (or all, if fewer)
  std::vector<Tally> per_class;
  /// The confusion matrix: of each class, what its images were taken for, most often first, of equals the lower index.
  std::vector<std::vector<ClassCount>> predicted;
  std::vector<std::pair<std::string, Tally>> per_group;  ///< natural order; empty without groups
};

/// `groups` is aligned with the predictions, or empty. Throws CheckError where
/// sizes do not fit.
Evaluation evaluate_predictions(const Predictions& predictions, const std::vector<std::string>& groups);

/// -log softmax(logits)[label]: from the logits, for a probability may underflow to 0 in f32.
double cross_entropy(std::span<const float> logits, int64_t label);

/// The most probable classes, as many as `ranked` takes, which are not more than there are: the most probable first,
/// and of equals the lower index.
void rank_classes(std::span<const float> probabilities, std::span<RankedClass> ranked);

}  // namespace cytograd
