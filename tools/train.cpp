#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <span>
#include <string_view>

#include "data/domains.h"
#include "data/list_some.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "tools/commands.h"
#include "tools/option_values.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/run_device.h"
#include "tools/trained_run.h"
#include "tools/trainer.h"

namespace cytograd {
namespace {

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

/// The settings that the command line gives, over those of a configuration file.
TrainOptions overlay(const CLI::App& command, const TrainOptions& given, const std::filesystem::path& file) {
  TrainOptions options = read_train_config(file);
  for (const TrainSetting& setting : train_settings(given)) {
    if (command.get_option("--" + setting.name)->count() > 0) copy_setting(setting.name, given, options);
  }
  return options;
}

/// Fails where the folder holds a run or files that a run would overwrite. A run that was stopped before its first
/// epoch ended has nothing to lose.
void require_new(const RunFolder& folder) {
  for (const auto& file : {folder.last(), folder.best()}) {
    if (!file_exists(file)) continue;
    if (!file_exists(folder.config()))
      fail("{}: there are weights of a run whose config.toml is gone; name another --out", file.string());
    fail("{}: there is a run already; continue it with --resume or name another --out",
         folder.path().string());
  }
  const auto is_foreign = [&](const std::filesystem::path& file) {
    if (!file_exists(file)) return false;
    if (file == folder.metrics()) return true;  // never there without weights
    try {
      read_run_config(folder.config());
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  for (const auto& file :
       {folder.config(), folder.classes(), folder.metrics(), folder.colormap(), folder.pca()}) {
    if (is_foreign(file))
      fail("{}: is there, and of no run; it would be lost; name another --out", file.string());
  }
}

/// Fails where there is nothing to go on with.
void require_run(const RunFolder& folder) {
  if (file_exists(folder.config())) {
    if (file_exists(folder.best()) && !file_exists(folder.last()))
      fail(
          "{}: the last.safetensors that this run would go on from is gone; name another --out, with --init-weights {} "
          "to begin with its weights",
          folder.path().string(), folder.best().string());
    return;
  }
  for (const auto& file : {folder.last(), folder.best()}) {
    if (file_exists(file))
      fail("{}: there are weights of a run whose config.toml is gone; name another --out", file.string());
  }
  fail("{}: there is no run to resume; train without --resume", folder.path().string());
}

/// What the command line may change of a run: nothing that its result depends on, but for the number of epochs.
constexpr std::array<std::string_view, 8> kFree{"data",     "epochs",  "device",    "deterministic",
                                                "autotune", "workers", "cache-gib", "max-missing"};

std::string free_options() {
  const std::span<const std::string_view> but_last(kFree.data(), kFree.size() - 1);
  return fmt::format("--{} and --{}", fmt::join(but_last, ", --"), kFree.back());
}

/// The settings of a run, with those of kFree that the command line gives.
TrainOptions resumed_options(const CLI::App& command, TrainOptions given, const RunFolder& folder) {
  TrainOptions options = read_run_config(folder.config());
  const int64_t saved_epochs = options.epochs;
  options.out = given.out;
  given.val = absolute(given.val);
  given.init_weights = absolute(given.init_weights);
  given.colormap = absolute(given.colormap);
  if (given.stem == "auto") given.stem = options.stem;  // config.toml has what it stands for
  const std::vector<TrainSetting> theirs = train_settings(options), ours = train_settings(given);
  for (size_t i = 0; i < ours.size(); ++i) {
    const std::string& name = ours[i].name;
    if (command.get_option("--" + name)->count() == 0 || ours[i].value == theirs[i].value) continue;
    if (std::find(kFree.begin(), kFree.end(), name) == kFree.end()) {
      throw CLI::ValidationError(
          "--" + name,
          fmt::format("the run in {} has {}, which cannot become {}; a resumed run keeps its settings, but "
                      "for {}",
                      folder.path().string(), theirs[i].value, ours[i].value, free_options()));
    }
    copy_setting(name, given, options);
  }
  if (!file_exists(folder.last())) return options;  // no step was taken yet
  const int64_t planned = planned_epochs(folder.last()).value_or(saved_epochs);
  if (options.epochs == planned || options.schedule == "constant") return options;
  if (options.epochs < planned) {
    throw CLI::ValidationError(
        "--epochs",
        fmt::format("the {} schedule of the run is laid out for {} epochs; it can be made longer than that, "
                    "not {}",
                    options.schedule, planned, options.epochs));
  }
  say(fmt::format("note: the {} schedule is laid out anew, for {} epochs in place of {}", options.schedule,
                  options.epochs, planned));
  return options;
}

/// Throws where an option that is given asks for what another setting, of the command line or of `config`, rules out.
void require_used(const CLI::App& command, const TrainOptions& options, const std::string& config) {
  const auto refuse = [&](bool is_unused, const char* name, const std::string& other,
                          const std::string& value) {
    if (!is_unused || command.count(name) == 0) return;
    const bool is_from_file = !config.empty() && command.count(other) == 0;
    throw CLI::ValidationError(
        name, fmt::format("has no meaning with {}{}{}{}", other, value.empty() ? "" : " ", value,
                          is_from_file ? ", of " + config + " or by default" : ""));
  };
  const bool sgd = options.optimizer == "sgd", has_stem = options.model != "small";
  refuse(!sgd, "--momentum", "--optimizer", options.optimizer);
  refuse(!sgd && options.nesterov, "--nesterov", "--optimizer", options.optimizer);
  refuse(options.schedule == "one_cycle" && options.warmup > 0.0, "--warmup", "--schedule", options.schedule);
  refuse(options.fusion != "pca" && options.fusion != "learned", "--components", "--fusion", options.fusion);
  refuse(!has_stem && options.stem != "auto", "--stem", "--model", options.model);
  refuse(!has_stem && options.zero_init_last, "--zero-init-last", "--model", options.model);
  refuse(!options.val.empty(), "--val-group", "--val", "");
  refuse(!options.val.empty(), "--val-fraction", "--val", "");
  refuse(!options.val_group.empty(), "--val-fraction", "--val-group", "");
}

/// What config.toml says must hold in whatever folder the run is resumed from.
TrainOptions with_absolute_paths(TrainOptions options) {
  options.data = absolute(options.data);
  options.val = absolute(options.val);
  options.init_weights = absolute(options.init_weights);
  options.colormap = absolute(options.colormap);
  return options;
}

void describe(const TrainOptions& options, TrainingData& data, const FusionTables& fusion,
              const Trainer& trainer) {
  const ImageInfo& image = data.images->store->reference();
  const std::vector<int64_t> readable = data.images->readable(data.train);
  fmt::print("{} training and {} validation images of {} pixels and {} channel{}; {} classes of {}\n",
             readable.size(), data.validation_data().readable(data.validation).size(), size_text(image),
             image.channels, image.channels == 1 ? "" : "s", data.classes.size(), data.label_column);
  if (data.own_split) fmt::print("validation images: those of split val\n");
  if (!data.held_out_groups.empty()) {
    constexpr size_t kNamed = 100;
    fmt::print("held out by {}: {}\n", data.group_column, list_some(data.held_out_groups, kNamed));
  } else if (options.val.empty() && !data.own_split && data.group_column.empty()) {
    const Dataset& dataset = data.images->dataset;
    const char* const column = dataset.column("experiment") ? "experiment"
                               : dataset.column("plate")    ? "plate"
                                                            : "";
    fmt::print(
        "no groups: single images{} are held out{}\n", well_keys(dataset).empty() ? "" : ", or wells,",
        *column == '\0' ? "" : fmt::format("; --group {0} would hold out whole values of {0}", column));
  }
  if (options.adaptation() != "none")
    fmt::print("validation with --adabn {}: batch norm statistics of the images that are classified\n",
               options.adaptation());
  const std::set<int64_t> trained(readable.begin(), readable.end());
  std::vector<bool> seen(data.classes.size());
  for (size_t i = 0; i < data.train.size(); ++i) {
    if (trained.contains(data.train[i])) seen[static_cast<size_t>(data.train_labels[i])] = true;
  }
  std::vector<std::string> unseen;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i]) unseen.push_back(fmt::format("'{}'", data.classes[i]));
  }
  if (!unseen.empty()) say(fmt::format("warning: no training image has the class {}", list_some(unseen)));
  const Device device = resolve_device(options.device);
  const DType dtype = resolve_dtype(options.dtype, device);
  if (fusion.pca) {
    std::vector<std::string> parts;
    for (const double ratio : fusion.pca->pca.explained_variance_ratio)
      parts.push_back(fmt::format("{:.1f}%", 100.0 * ratio));
    fmt::print("principal components of the training images: {} of the variance\n", fmt::join(parts, ", "));
  }
  fmt::print("{}, {:.1f} M parameters, {} in {}\n", options.model,
             static_cast<double>(trainer.parameter_count()) * 1e-6, device_name(device), dtype_name(dtype));
  std::fflush(stdout);
}

void summarize(const TrainOptions& options, TrainingData& data, const Trainer& trainer,
               const RunFolder& folder) {
  const Device device = resolve_device(options.device);
  TrainedRun run = load_trained_run(folder.path().string(), device);
  const Predictions predictions = run_model(*run.model, validation_images(data, options, device),
                                            evaluator_options(run, options, device), nullptr)
                                      .predictions;
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
  if (options.resume && !config.empty())
    throw CLI::ValidationError("--config", "a resumed run has its own settings; give --config or --resume");
  RunFolder folder(options.out);
  folder.require_writable();
  if (options.resume) require_run(folder);
  folder.lock();  // from here on nobody else changes what is checked
  if (options.resume) {
    require_run(folder);
    options = resumed_options(command, options, folder);
  } else {
    require_new(folder);
    if (!config.empty()) options = overlay(command, options, config);
    require_used(command, options, config);
  }
  if (options.data.empty()) throw CLI::RequiredError("--data");
  if (!options.colormap.empty() && options.fusion != "colormap")
    throw CLI::ValidationError("--colormap", fmt::format("has no meaning with --fusion {}", options.fusion));
  if (options.deterministic && options.autotune)
    throw CLI::ValidationError("--autotune",
                               "what is fastest differs from run to run; it has no place beside "
                               "--deterministic (--no-autotune turns it off)");
  resolve_dtype(options.dtype, resolve_device(options.device));  // fails early

  TrainingData data = load_training_data(options);
  options.white = data.white;
  const ImageInfo& image = data.images->store->reference();
  const int64_t side = options.crop > 0 ? options.crop : std::max(image.height, image.width) / options.shrink;
  options.stem = resolve_stem(options, side);
  const bool goes_on = file_exists(folder.last());
  const FusionTables fusion =
      goes_on ? read_fusion_tables(options, folder)
              : make_fusion_tables(options, *data.images, data.train, resolve_device(options.device));
  Trainer trainer(options, data, fusion, folder);

  folder.remove_leftovers();
  if (goes_on) {
    if (folder.read_classes() != data.classes) {
      fail("{}: the classes of {} are not those the run began with", folder.classes().string(), options.data);
    }
    trainer.resume();
    const auto done = static_cast<int64_t>(trainer.progress().history.size());
    if (options.epochs < done)
      throw CLI::ValidationError(
          "--epochs", fmt::format("{} epochs are done already, more than {}", done, options.epochs));
    fmt::print("resuming after epoch {}\n", done);
  }
  // In this order: classes.csv without a config.toml is of no run.
  write_text_file(folder.config(), format_train_config(with_absolute_paths(options)));
  folder.write_classes(data.classes);
  if (!goes_on) write_fusion_tables(fusion, folder);
  describe(options, data, fusion, trainer);
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
                 fmt::format("Go on with the run in --out and its settings, of which only {} may change",
                             free_options()))
      ->group("Run");
  take_path(command->add_option("--config", settings->config,
                                "Settings to start from, as a run's config.toml has them"),
            "FILE")
      ->group("Run");
  command->footer(
      "Layouts of --data (docs/layouts.md has them in full):\n"
      "  labels.csv with image,label[,group][,split], its images in images/ or beside it; a.png;b.png joins "
      "channels\n"
      "  one folder a class\n"
      "  either of them in the folders train/, val/ and test/\n"
      "  RxRx1 as Kaggle, rxrx.ai or WILDS have it\n"
      "Example: cytograd train --data cells --out run --model resnet18 --epochs 30 --val-fraction 0.2");
  command->callback([settings, command] { train(settings->options, *command, settings->config); });
}

}  // namespace cytograd
