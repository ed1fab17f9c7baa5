#include "tools/trainer.h"

#include <chrono>
#include <cmath>

#include "engine/atomic_file.h"
#include "engine/backend.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "models/weights.h"
#include "tools/progress.h"
#include "tools/run_device.h"
#include "tools/trained_run.h"

namespace cytograd {
namespace {

constexpr int64_t kSmallStemSide = 64;  // the largest image that the 3x3 stem is meant for
constexpr int64_t kAutoStemSide = 32;

/// Steps that the host queues ahead of the device.
constexpr size_t kStepsAhead = 2;
/// A loss scale that has come down to this stands for a network that answers with infinities.
constexpr float kLeastLossScale = 0x1p-14f;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Inverse class frequency with mean 1 over the images; 0 for a class without training images.
Tensor balanced_weights(const std::vector<int64_t>& labels, size_t classes) {
  std::vector<double> counts(classes);
  for (const int64_t label : labels) ++counts[static_cast<size_t>(label)];
  size_t present = 0;
  for (const double count : counts) present += count > 0 ? 1 : 0;
  std::vector<float> weights(classes);
  for (size_t i = 0; i < classes; ++i) {
    if (counts[i] > 0) {
      weights[i] =
          static_cast<float>(static_cast<double>(labels.size()) / (static_cast<double>(present) * counts[i]));
    }
  }
  return Tensor::from(weights, {static_cast<int64_t>(classes)});
}

}  // namespace

std::string resolve_stem(const TrainOptions& options, int64_t side) {
  if (options.stem == "3x3" && side > kSmallStemSide) {
    fail("--stem 3x3 is for images of at most {} pixels, these have {}; use --stem 7x7, --shrink or --crop",
         kSmallStemSide, side);
  }
  if (options.stem != "auto") return options.stem;
  return side <= kAutoStemSide ? "3x3" : "7x7";
}

Trainer::Trainer(const TrainOptions& options, TrainingData& data, FusionTables fusion, RunFolder folder)
    : options_(options),
      data_(data),
      fusion_(std::move(fusion)),
      folder_(std::move(folder)),
      device_(resolve_device(options.device)) {
  const auto images = static_cast<int64_t>(data_.train.size());
  if (options_.batch > images)
    fail("--batch {} is larger than the {} training images; use a smaller one", options_.batch, images);

  const int64_t channels = data_.images->store->reference().channels;
  backend(device_).set_options({.deterministic = options_.deterministic, .autotune = options_.autotune});
  preprocess_ = preprocess_options(options_, fusion_, channels, device_);
  model_ = make_model(model_options(options_, fusion_, channels, static_cast<int64_t>(data_.classes.size())));
  if (!options_.init_weights.empty() && !file_exists(folder_.last())) {
    const auto left = import_pretrained(*model_, read_safetensors(options_.init_weights),
                                        options_.init_weights, training_state_prefixes());
    if (!left.empty())
      say(fmt::format("not in {}, so new: {}", options_.init_weights, fmt::join(left, ", ")));
  }
  move_to(*model_, device_);
  parameters_ = model_->state().parameters;
  OptimizerOptions optimizer;
  optimizer.kind = parse_optimizer(options_.optimizer);
  optimizer.weight_decay = static_cast<float>(options_.weight_decay);
  optimizer.momentum = static_cast<float>(options_.momentum);
  optimizer.nesterov = options_.nesterov;
  optimizer.dynamic_loss_scale = preprocess_.dtype == DType::f16;
  optimizer_ = std::make_unique<Optimizer>(parameters_, optimizer);
  if (options_.ema > 0.0) {
    std::vector<NamedBuffer> statistics = model_->state().buffers;
    std::erase_if(statistics, [](const NamedBuffer& b) { return b.tensor->dtype() != DType::f32; });
    ema_ = std::make_unique<EmaWeights>(parameters_, static_cast<float>(options_.ema), std::move(statistics));
  }
  Tensor class_weights;
  if (options_.class_weights == "balanced")
    class_weights = balanced_weights(data_.train_labels, data_.classes.size()).to(device_);
  step_ = std::make_unique<TrainStep>(
      *model_, *optimizer_, ema_.get(),
      TrainStep::Options{.device = device_,
                         .preprocess = preprocess_,
                         .class_weights = class_weights,
                         .label_smoothing = static_cast<float>(options_.label_smoothing),
                         .clip_norm = static_cast<float>(options_.clip_norm),
                         .seed = options_.seed,
                         .batch = options_.batch});

  loader_ = evaluation_loader_options(options_, device_);
  loader_.domains = data_.train_domains;
  loader_.shuffle = true;
  loader_.drop_single = true;
  loader_.augmentation = Augmentation{.mirror = options_.mirror,
                                      .quarter_turns = options_.quarter_turns,
                                      .brightness = static_cast<float>(options_.brightness)};

  const int64_t steps_an_epoch = epoch_batches(images, loader_);
  schedule_.kind = parse_schedule(options_.schedule);
  schedule_.peak = options_.learning_rate();
  schedule_.steps = steps_an_epoch * options_.epochs;
  schedule_.warmup_steps =
      std::min(static_cast<int64_t>(std::llround(options_.warmup * static_cast<double>(steps_an_epoch))),
               schedule_.steps);
}

CheckpointInfo Trainer::info() const {
  const ImageInfo& image = data_.images->store->reference();
  return {options_.model,
          image.channels,
          static_cast<int64_t>(data_.classes.size()),
          evaluation_metadata(options_, data_.classes, fusion_),
          data_.validation_fingerprint,
          data_.images_fingerprint,
          data_.groups_fingerprint,
          options_.crop == 0 ? size_text(image) : ""};
}

int64_t Trainer::parameter_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.variable->value().elements();
  return count;
}

void Trainer::resume() {
  TrainingState current = state();
  std::string lost;  // why the best weights are
  int64_t best_epoch = 0;
  if (!file_exists(folder_.best())) {
    lost = folder_.best().string() + " was gone";
  } else {
    try {
      best_epoch = read_best(folder_.best(), *model_, info());  // to be checked: read_last replaces them
    } catch (const Error& error) {
      lost = error.what();
    }
  }
  read_last(folder_.last(), current, info());
  if (lost.empty() && best_epoch != progress_.best_epoch)
    lost =
        fmt::format("{}: is of epoch {}, not {}", folder_.best().string(), best_epoch, progress_.best_epoch);
  const bool ends_with_best =
      !progress_.history.empty() && progress_.history.back().epoch == progress_.best_epoch;
  if (ends_with_best) {
    write_best(folder_.best(), current, info());
  } else if (!lost.empty()) {
    progress_.best_epoch = progress_.history.back().epoch;
    progress_.best_accuracy = progress_.history.back().val_accuracy;
    write_best(folder_.best(), current, info());
    write_last(folder_.last(), current, info());
    say(fmt::format("warning: {}; the weights of epoch {} take its place as the best so far", lost,
                    progress_.best_epoch));
  }
  write_text_file(folder_.metrics(), format_metrics(progress_.history));
}

void Trainer::finish(const PendingStep& step, EpochTotals& totals) const {
  const TrainStep::Result result = step.result();
  const bool taken = std::isfinite(result.loss) && std::isfinite(result.norm);
  const bool scaled = preprocess_.dtype == DType::f16;
  if (!taken && (!scaled || result.loss_scale <= kLeastLossScale)) {
    fail("training diverged at step {} (loss {:g}, gradient norm {:g}); use a lower --lr, or --clip-norm",
         step.number, result.loss, std::abs(result.norm));
  }
  if (!taken) {
    totals.skipped += step.images;
    return;
  }
  totals.loss_sum += static_cast<double>(result.loss) * static_cast<double>(step.images);
  totals.correct += static_cast<int64_t>(result.correct);
  totals.images += step.images;
}

Trainer::EpochTotals Trainer::train_epoch(int64_t epoch) {
  EpochTotals totals;
  const auto start = Clock::now();
  Loader loader(*data_.images->store, data_.train, data_.train_labels, loader_, epoch);
  {
    Progress progress(fmt::format("epoch {}/{}", epoch, options_.epochs),
                      static_cast<int64_t>(data_.train.size()), "images");
    std::deque<PendingStep> pending;
    const auto finish_first = [&] {
      finish(pending.front(), totals);
      pending.pop_front();
      const int64_t images = std::max<int64_t>(totals.images, 1);
      progress.update(totals.images + totals.skipped,
                      fmt::format("loss {:.3f}", totals.loss_sum / static_cast<double>(images)));
    };
    while (auto batch = loader.next()) {
      const auto count = static_cast<int64_t>(batch->samples.size());
      if (count < 2) continue;  // the rest of its batch was unreadable; one image has no batch statistics
      // Batches that are left out have their place too, or the schedule would not come to its end.
      const int64_t step = (epoch - 1) * loader.batches() + batch->place;
      totals.learning_rate = learning_rate(schedule_, step);
      ++totals.steps;
      pending.push_back({step + 1, count, step_->run(*batch, static_cast<float>(totals.learning_rate))});
      if (pending.size() > kStepsAhead) finish_first();
    }
    while (!pending.empty()) finish_first();
  }
  data_.images->add_unreadable(loader.unreadable());
  if (totals.images + totals.skipped == 0)
    fail("no batch of epoch {} had two images that can be read, without which it has no statistics", epoch);
  if (totals.images == 0)
    fail("no step of epoch {} had finite gradients in f16; use --dtype bf16, or a lower --lr", epoch);
  totals.stall_seconds = loader.stall_seconds();
  totals.seconds = seconds_since(start);
  return totals;
}

EvaluatorOptions Trainer::evaluator() const {
  return {
      .preprocess = preprocess_, .device = device_, .classes = static_cast<int64_t>(data_.classes.size())};
}

Evaluation Trainer::validate(int64_t epoch) {
  if (ema_) {
    ema_->swap();
    // Those that training keeps are of other weights: at a constant learning rate that cost 1.6 to 2.1 points of
    // MitoCheck's accuracy (a decay of 0.99, three seeds).
    Loader loader(*data_.images->store, data_.train, data_.train_labels, loader_, epoch);
    estimate_statistics(*model_, loader, evaluator(), 0.0);
  }
  Evaluated evaluated;
  {
    Progress progress("validation", static_cast<int64_t>(data_.validation.size()), "images");
    evaluated = run_model(*model_, validation_images(data_, options_, device_), evaluator(), &progress);
  }
  if (ema_) ema_->swap();
  data_.validation_data().add_unreadable(evaluated.unreadable);
  return evaluate_predictions(evaluated.predictions, {});
}

void Trainer::run() {
  for (auto epoch = static_cast<int64_t>(progress_.history.size()) + 1; epoch <= options_.epochs; ++epoch) {
    const EpochTotals totals = train_epoch(epoch);
    const Evaluation validation = validate(epoch);
    const auto images = static_cast<double>(totals.images);
    const auto seen = static_cast<double>(totals.images + totals.skipped);
    const EpochMetrics row{
        .epoch = epoch,
        .train_loss = totals.loss_sum / images,
        .train_accuracy = static_cast<double>(totals.correct) / images,
        .val_loss = validation.loss,
        .val_accuracy = validation.accuracy,
        .val_macro_accuracy = validation.macro_accuracy,
        .learning_rate = totals.learning_rate,
        .images_per_second = seen / totals.seconds,
        .stall_seconds = totals.stall_seconds,
        .stall_seconds_per_step = totals.stall_seconds / static_cast<double>(totals.steps)};
    progress_.history.push_back(row);
    progress_.planned_epochs = options_.epochs;
    const bool is_best = row.val_accuracy > progress_.best_accuracy;
    if (is_best) {
      progress_.best_accuracy = row.val_accuracy;
      progress_.best_epoch = epoch;
    }
    folder_.require_held();
    // last.safetensors is what a resumed run believes; the others follow it, and are written again on resume.
    write_last(folder_.last(), state(), info());
    if (is_best) write_best(folder_.best(), state(), info());
    write_text_file(folder_.metrics(), format_metrics(progress_.history));
    fmt::print(
        "epoch {:>3}/{}  train loss {:.4f} accuracy {:.4f}  |  val loss {:.4f} accuracy {:.4f} macro {:.4f}"
        "  |  {:.0f} images/s{}\n",
        epoch, options_.epochs, row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy,
        row.val_macro_accuracy, row.images_per_second, is_best ? "  best" : "");
    std::fflush(stdout);
  }
}

}  // namespace cytograd
