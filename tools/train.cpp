#include <CLI/CLI.hpp>
#include <cstdio>

#include "engine/atomic_file.h"
#include "engine/check.h"
#include "tools/commands.h"
#include "tools/report.h"
#include "tools/run_device.h"
#include "tools/trained_run.h"
#include "tools/trainer.h"

namespace cytograd {
namespace {

/// The options given on the command line over those of a configuration file.
TrainOptions overlay(const CLI::App& command, const std::filesystem::path& file) {
  TrainOptions options = read_train_config(file);
  CLI::App parser;
  declare_train_options(parser, options);
  for (const CLI::Option* given : command.get_options()) {
    if (given->count() == 0) continue;
    CLI::Option* target = parser.get_option_no_throw(given->get_name());
    if (target == nullptr) continue;  // --config, --resume
    for (const std::string& value : given->reduced_results()) target->add_result(value);
    target->run_callback();
  }
  return options;
}

/// A run that was stopped before its first epoch ended has nothing to lose.
void require_new(const RunFolder& folder) {
  std::error_code ignored;
  for (const auto& file : {folder.last(), folder.best()}) {
    if (!std::filesystem::exists(file, ignored)) continue;
    if (!std::filesystem::exists(folder.config(), ignored))
      fail("{}: there are weights of a run whose config.toml is gone; name another --out", file.string());
    fail("{}: there is a run already; continue it with --resume or name another --out",
         folder.path().string());
  }
}

void describe(const TrainOptions& options, TrainingData& data, const Trainer& trainer) {
  const ImageInfo& image = data.images->store->reference();
  fmt::print("{} training and {} validation images of {} x {} pixels and {} channel{}; {} classes of {}\n",
             data.train.size(), data.validation.size(), image.width, image.height, image.channels,
             image.channels == 1 ? "" : "s", data.classes.size(), data.label_column);
  if (data.own_split) fmt::print("validation images: those of split val\n");
  if (!data.held_out_groups.empty()) {
    fmt::print("held out by {}: {}\n", data.group_column, fmt::join(data.held_out_groups, ", "));
  } else if (options.val.empty() && !data.own_split && data.group_column.empty()) {
    fmt::print("no groups: single images are held out\n");
  }
  std::vector<bool> seen(data.classes.size());
  for (const int64_t label : data.train_labels) seen[static_cast<size_t>(label)] = true;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i]) say(fmt::format("warning: no training image has the class '{}'", data.classes[i]));
  }
  const Device device = resolve_device(options.device);
  const DType dtype = resolve_dtype(options.dtype, device);
  fmt::print("{}, {:.1f} M parameters, {} in {}\n", options.model,
             static_cast<double>(trainer.parameter_count()) * 1e-6, device_name(device), dtype_name(dtype));
  std::fflush(stdout);
}

void summarize(const TrainOptions& options, TrainingData& data, const Trainer& trainer,
               const RunFolder& folder) {
  const Device device = resolve_device(options.device);
  TrainedRun run = load_trained_run(folder.path().string(), device);
  Loader loader(*data.validation_data().store, data.validation, data.validation_labels,
                evaluation_loader_options(options), 0);
  const Predictions predictions =
      run_model(*run.model, loader, evaluator_options(run, options, device), nullptr);
  const Evaluation evaluation = evaluate_predictions(
      predictions, group_names(data.validation_data().dataset, data.group_column, predictions.samples));
  std::vector<double> rates;
  for (const EpochMetrics& row : trainer.progress().history) rates.push_back(row.images_per_second);
  std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
  fmt::print("\nbest epoch {} of {}, on the validation images\n{}", trainer.progress().best_epoch,
             options.epochs, format_evaluation(evaluation, run.classes));
  fmt::print("  {:.0f} training images a second (median of epochs)\n", rates[rates.size() / 2]);
  fmt::print(
      "files in {}: best.safetensors (weights), last.safetensors (to resume), metrics.csv, classes.csv, "
      "config.toml\n",
      folder.path().string());
}

void train(TrainOptions options, const CLI::App& command, const std::string& config) {
  if (options.out.empty()) throw CLI::RequiredError("--out");
  const RunFolder folder(options.out);
  folder.require_writable();
  const bool resume =
      options.resume && std::filesystem::exists(folder.config());  // else killed before it began
  if (resume) {
    options = overlay(command, folder.config());
  } else {
    require_new(folder);
    if (!config.empty()) options = overlay(command, config);
  }
  if (options.data.empty()) throw CLI::RequiredError("--data");
  resolve_dtype(options.dtype, resolve_device(options.device));  // fails early

  TrainingData data = load_training_data(options);
  const ImageInfo& image = data.images->store->reference();
  const int64_t side = options.crop > 0 ? options.crop : std::max(image.height, image.width) / options.shrink;
  options.stem = resolve_stem(options, side);
  Trainer trainer(options, data, folder);

  folder.create();
  const RunLock lock(folder);
  folder.remove_leftovers();
  if (resume && std::filesystem::exists(folder.last())) {
    if (folder.read_classes() != data.classes) {
      fail("{}: the classes of {} are not those the run began with", folder.classes().string(), options.data);
    }
    trainer.resume();
    fmt::print("resuming after epoch {}\n", trainer.progress().history.size());
  } else {
    folder.write_classes(data.classes);
  }
  write_text_file(folder.config(), format_train_config(options));
  describe(options, data, trainer);
  trainer.run();
  summarize(options, data, trainer, folder);
}

}  // namespace

void add_train(CLI::App& app) {
  struct Settings {
    TrainOptions options;
    std::string config;
  };
  auto settings = std::make_shared<Settings>();
  CLI::App* command = app.add_subcommand("train", "Train a classifier on a folder of images");
  declare_train_options(*command, settings->options);
  command
      ->add_flag("--resume", settings->options.resume,
                 "Go on with the run in --out; its settings are read from there")
      ->group("Run");
  command->add_option("--config", settings->config, "Settings to start from, as a run's config.toml has them")
      ->group("Run")
      ->type_name("FILE");
  command->footer(
      "Example: cytograd train --data cells --out run --model resnet18 --epochs 30 --val-fraction 0.2");
  command->callback([settings, command] { train(settings->options, *command, settings->config); });
}

}  // namespace cytograd
