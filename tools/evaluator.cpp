#include "tools/evaluator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/backend.h"
#include "engine/constant_weights.h"
#include "engine/ops.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kStatisticsBatches = 64;

/// What a model's batch norms have in evaluation, to have it again.
class SavedBuffers {
 public:
  explicit SavedBuffers(Model& model) {
    for (const NamedBuffer& buffer : model.state().buffers)
      saved_.emplace_back(buffer.tensor, buffer.tensor->clone());
  }
  /// In place: a captured step goes on reading the same memory.
  void restore() {
    for (auto& [tensor, saved] : saved_) tensor->copy_from(saved);
  }

 private:
  std::vector<std::pair<Tensor*, Tensor>> saved_;
};

/// Does `work` with each of the loader's batches that is preprocessed; those that are not whole, aside.
void for_each_batch(Loader& loader, const EvaluatorOptions& options,
                    const std::function<bool(const Batch&, const Tensor& x)>& work) {
  const NoGrad no_grad;
  const ConstantWeights constant;
  Backend& device = backend(options.device);
  for (bool goes_on = true; goes_on;) {
    const auto batch = loader.next();
    if (!batch) return;
    const Tensor images = device.upload(batch->images);
    const auto run = [&] { goes_on = work(*batch, preprocess(images, batch->views, options.preprocess)); };
    batch->images.dim(0) == loader.batch_size() ? run() : device.run_aside(run);
  }
}

void append(Predictions& result, Model& model, Loader& loader, const EvaluatorOptions& options,
            Progress* progress) {
  const auto classes = static_cast<size_t>(options.classes);
  for_each_batch(loader, options, [&](const Batch& batch, const Tensor& x) {
    const Tensor logits =
        backend(options.device).cast(model.forward(x, {}).value(), DType::f32);  // [N, classes]
    const std::vector<float> rows = softmax(logits).to_vector<float>(), z = logits.to_vector<float>();
    if (!std::all_of(rows.begin(), rows.end(), [](float p) { return std::isfinite(p); }))
      fail("the network's answers are no numbers: its training has diverged; train with a lower --lr");
    const std::vector<int64_t> labels = batch.labels.to_vector<int64_t>();
    const auto ranks = static_cast<size_t>(result.ranks);
    const size_t first = result.ranked.size();
    result.ranked.resize(first + labels.size() * ranks);
    std::vector<double> losses(labels.size());
    parallel_tasks(static_cast<int64_t>(labels.size()), [&](int64_t, int64_t task) {
      const auto i = static_cast<size_t>(task);
      rank_classes(std::span(rows).subspan(i * classes, classes),
                   std::span(result.ranked).subspan(first + i * ranks, ranks));
      if (labels[i] >= 0) losses[i] = cross_entropy(std::span(z).subspan(i * classes, classes), labels[i]);
    });
    result.loss_sum = std::accumulate(losses.begin(), losses.end(), result.loss_sum);
    for (size_t i = 0; options.each && i < labels.size(); ++i)
      options.each(batch.samples[i], std::span(rows).subspan(i * classes, classes));
    result.labels.insert(result.labels.end(), labels.begin(), labels.end());
    result.samples.insert(result.samples.end(), batch.samples.begin(), batch.samples.end());
    if (progress != nullptr) progress->update(static_cast<int64_t>(result.labels.size()));
    return true;
  });
}

/// Images that are classified by the same statistics.
struct Part {
  std::vector<int64_t> samples;
  std::vector<int64_t> labels;  // aligned, -1: unknown; or none

  void add(int64_t sample, int64_t label) {
    samples.push_back(sample);
    labels.push_back(label);
  }
  void leave_out(const std::vector<UnreadableImage>& unreadable) {
    std::unordered_set<int64_t> lost;
    for (const UnreadableImage& image : unreadable) lost.insert(image.sample);
    Part kept;
    for (size_t i = 0; i < samples.size(); ++i) {
      if (!lost.contains(samples[i])) kept.add(samples[i], labels[i]);
    }
    *this = std::move(kept);
  }
};

/// The predictions in the order of `samples`.
Predictions in_order(const Predictions& predictions, const std::vector<int64_t>& samples) {
  std::unordered_map<int64_t, size_t> rows;
  for (size_t i = 0; i < predictions.samples.size(); ++i) rows.emplace(predictions.samples[i], i);
  Predictions result;
  result.classes = predictions.classes;
  result.ranks = predictions.ranks;
  result.loss_sum = predictions.loss_sum;
  for (const int64_t sample : samples) {
    const auto found = rows.find(sample);
    if (found == rows.end()) continue;  // unreadable
    const std::span<const RankedClass> ranked = predictions.of_image(found->second);
    result.ranked.insert(result.ranked.end(), ranked.begin(), ranked.end());
    result.labels.push_back(predictions.labels[found->second]);
    result.samples.push_back(sample);
  }
  return result;
}

}  // namespace

void estimate_statistics(Model& model, Loader& loader, const EvaluatorOptions& options, double own_images) {
  double images = own_images;
  int64_t taken = 0;
  for_each_batch(loader, options, [&](const Batch& batch, const Tensor& x) {
    const auto count = static_cast<double>(batch.samples.size());
    if (count < 2) return true;  // one image has no batch statistics
    images += count;
    model.forward(x, {.training = true, .statistics_momentum = static_cast<float>(count / images)});
    return ++taken < kStatisticsBatches;
  });
}

Evaluated run_model(Model& model, const EvaluationImages& images, const EvaluatorOptions& options,
                    Progress* progress) {
  CHECK(images.domains.empty() || images.domains.size() == images.samples.size(), "{} domains of {} samples",
        images.domains.size(), images.samples.size());
  const ConstantWeights constant;  // from one domain to the next
  Evaluated result;
  result.predictions.classes = options.classes;
  result.predictions.ranks = std::min(options.ranks, options.classes);
  const auto classify = [&](const Part& part) {
    Loader loader(images.store, part.samples, part.labels, images.loader, 0);
    append(result.predictions, model, loader, options, progress);
    result.unreadable.insert(result.unreadable.end(), loader.unreadable().begin(), loader.unreadable().end());
  };
  if (images.domains.empty()) {
    classify({images.samples, images.labels});
    return result;
  }
  std::map<int64_t, Part> parts;
  for (size_t i = 0; i < images.samples.size(); ++i)
    parts[images.domains[i]].add(images.samples[i], images.labels.empty() ? -1 : images.labels[i]);
  Part alone;
  for (const auto& [domain, part] : parts) {
    if (part.samples.size() == 1) alone.add(part.samples[0], part.labels[0]);
  }
  if (!alone.samples.empty()) classify(alone);
  LoaderOptions drawn = images.loader;
  drawn.shuffle = true;  // a batch of one class alone would have its mean, and too small a variance
  SavedBuffers own(model);
  for (auto& [domain, part] : parts) {
    if (part.samples.size() == 1) continue;
    while (part.samples.size() > 1) {
      Loader loader(images.store, part.samples, {}, drawn, 0);
      estimate_statistics(model, loader, options, kOwnStatisticsImages);
      if (loader.unreadable().empty()) break;
      own.restore();  // and drawn anew: a broken image changes nothing for the others
      part.leave_out(loader.unreadable());
      result.unreadable.insert(result.unreadable.end(), loader.unreadable().begin(),
                               loader.unreadable().end());
    }
    if (!part.samples.empty()) classify(part);
    own.restore();
  }
  result.predictions = in_order(result.predictions, images.samples);
  return result;
}

}  // namespace cytograd
