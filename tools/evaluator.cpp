#include "tools/evaluator.h"

#include <algorithm>
#include <cmath>

#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

Predictions run_model(Model& model, Loader& loader, const EvaluatorOptions& options, Progress* progress) {
  const NoGrad no_grad;
  Predictions result;
  result.classes = options.classes;
  while (auto batch = loader.next()) {
    const Tensor x =
        preprocess(backend(options.device).upload(batch->images), batch->views, options.preprocess);
    const Tensor probabilities = softmax(model.forward(x, {}).value());  // [N, classes]
    const std::vector<float> rows = probabilities.to_vector<float>();
    if (!std::all_of(rows.begin(), rows.end(), [](float p) { return std::isfinite(p); }))
      fail("the network's answers are no numbers: its training has diverged; train with a lower --lr");
    const std::vector<int64_t> labels = batch->labels.to_vector<int64_t>();
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] < 0) continue;
      const float p = rows[i * static_cast<size_t>(options.classes) + static_cast<size_t>(labels[i])];
      result.loss_sum -= std::log(std::max(static_cast<double>(p), 1e-37));  // p may underflow to 0 in f32
    }
    result.probabilities.insert(result.probabilities.end(), rows.begin(), rows.end());
    result.labels.insert(result.labels.end(), labels.begin(), labels.end());
    result.samples.insert(result.samples.end(), batch->samples.begin(), batch->samples.end());
    if (progress != nullptr) progress->update(static_cast<int64_t>(result.labels.size()));
  }
  return result;
}

}  // namespace cytograd
