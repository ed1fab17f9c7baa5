#include "tools/evaluator.h"

#include <algorithm>
#include <cmath>
#include <span>

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
    const Tensor logits =
        backend(options.device).cast(model.forward(x, {}).value(), DType::f32);  // [N, classes]
    const std::vector<float> rows = softmax(logits).to_vector<float>(), z = logits.to_vector<float>();
    if (!std::all_of(rows.begin(), rows.end(), [](float p) { return std::isfinite(p); }))
      fail("the network's answers are no numbers: its training has diverged; train with a lower --lr");
    const std::vector<int64_t> labels = batch->labels.to_vector<int64_t>();
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] < 0) continue;
      const auto classes = static_cast<size_t>(options.classes);
      result.loss_sum += cross_entropy(std::span(z).subspan(i * classes, classes), labels[i]);
    }
    result.probabilities.insert(result.probabilities.end(), rows.begin(), rows.end());
    result.labels.insert(result.labels.end(), labels.begin(), labels.end());
    result.samples.insert(result.samples.end(), batch->samples.begin(), batch->samples.end());
    if (progress != nullptr) progress->update(static_cast<int64_t>(result.labels.size()));
  }
  return result;
}

}  // namespace cytograd
