#include "tools/train_options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>
#include <variant>

#include "data/text_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/op_options.h"
#include "models/model.h"
#include "tools/config_file.h"
#include "tools/option_values.h"

namespace cytograd {
namespace {

using Texts = std::vector<std::string>;

/// A setting of config.toml, named as its option.
struct Setting {
  std::string_view name;
  std::variant<std::string TrainOptions::*, Texts TrainOptions::*, double TrainOptions::*,
               int64_t TrainOptions::*, uint64_t TrainOptions::*, bool TrainOptions::*>
      member;
  bool is_free_text = false;  ///< taken as it is; the option's checks are for all else
};

// In the order of the file.
constexpr Setting kSettings[] = {
    {"data", &TrainOptions::data, true},
    {"out", &TrainOptions::out, true},
    {"label", &TrainOptions::label, true},
    {"where", &TrainOptions::where, true},
    {"val", &TrainOptions::val, true},
    {"val-group", &TrainOptions::val_group, true},
    {"val-fraction", &TrainOptions::val_fraction},
    {"group", &TrainOptions::group, true},
    {"max-missing", &TrainOptions::max_missing},
    {"white", &TrainOptions::white},
    {"workers", &TrainOptions::workers},
    {"cache-gib", &TrainOptions::cache_gib},
    {"fusion", &TrainOptions::fusion},
    {"colormap", &TrainOptions::colormap, true},
    {"components", &TrainOptions::components},
    {"shrink", &TrainOptions::shrink},
    {"crop", &TrainOptions::crop},
    {"normalize", &TrainOptions::normalize},
    {"mirror", &TrainOptions::mirror},
    {"quarter-turns", &TrainOptions::quarter_turns},
    {"brightness", &TrainOptions::brightness},
    {"model", &TrainOptions::model},
    {"stem", &TrainOptions::stem},
    {"zero-init-last", &TrainOptions::zero_init_last},
    {"dropout", &TrainOptions::dropout},
    {"init-weights", &TrainOptions::init_weights, true},
    {"epochs", &TrainOptions::epochs},
    {"batch", &TrainOptions::batch},
    {"sampler", &TrainOptions::sampler},
    {"optimizer", &TrainOptions::optimizer},
    {"lr", &TrainOptions::lr},
    {"momentum", &TrainOptions::momentum},
    {"nesterov", &TrainOptions::nesterov},
    {"weight-decay", &TrainOptions::weight_decay},
    {"schedule", &TrainOptions::schedule},
    {"warmup", &TrainOptions::warmup},
    {"label-smoothing", &TrainOptions::label_smoothing},
    {"class-weights", &TrainOptions::class_weights},
    {"clip-norm", &TrainOptions::clip_norm},
    {"ema", &TrainOptions::ema},
    {"adabn", &TrainOptions::adabn},
    {"seed", &TrainOptions::seed},
    {"device", &TrainOptions::device},
    {"dtype", &TrainOptions::dtype},
    {"deterministic", &TrainOptions::deterministic},
    {"autotune", &TrainOptions::autotune},
};

std::string toml_value(const std::string& text) { return toml_string(text); }
std::string toml_value(const Texts& texts) {
  Texts quoted;
  for (const std::string& text : texts) quoted.push_back(toml_string(text));
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}
template <typename T>
std::string toml_value(T value) {
  return fmt::format("{}", value);  // the shortest text that reads back as the same number
}

/// Throws CLI::Error where the option does not take the value.
void read_setting(const Setting& setting, Texts values, CLI::Option& option, TrainOptions& options) {
  if (const auto* list = std::get_if<Texts TrainOptions::*>(&setting.member)) {
    std::erase(values, "");
    options.** list = std::move(values);
    return;
  }
  if (values.size() != 1) throw CLI::ValidationError(option.get_name(), "is one value, not a list");
  if (setting.is_free_text) {
    options.*std::get<std::string TrainOptions::*>(setting.member) = values[0];
    return;
  }
  option.add_result(values[0]);
  option.run_callback();  // checks, and sets `options`
  const auto* real = std::get_if<double TrainOptions::*>(&setting.member);
  // CLI11 rounds by way of a longer type, which may end one bit beside the number that was written.
  if (real != nullptr) std::from_chars(values[0].data(), values[0].data() + values[0].size(), options.**real);
}

/// A flag whose default the configuration file shows.
CLI::Option* declare_flag(CLI::App& command, const std::string& names, bool& value,
                          const std::string& description) {
  return command.add_flag(names, value, description)->default_str(value ? "true" : "false");
}

void declare_data(CLI::App& command, TrainOptions& o) {
  const std::string group = "Data";
  take_path(command.add_option("--data", o.data, "Folder of images; needed, here or in --config"), "DIR")
      ->group(group);
  take_path(command.add_option("--out", o.out, "Run folder to make; needed"), "RUN")->group(group);
  command
      .add_option("--label", o.label, "Column to learn; default: the layout's own, such as sirna or label")
      ->group(group)
      ->type_name("COLUMN");
  add_where(command, o.where)->group(group);
  take_path(command.add_option("--val", o.val, "Folder of validation images, of the same layout"), "DIR")
      ->group(group);
  command.add_option("--val-group", o.val_group, "Groups held out for validation")
      ->group(group)
      ->type_name("A[,B]")
      ->delimiter(',')
      ->take_all()
      ->default_str("");
  take_number_between(
      command.add_option("--val-fraction", o.val_fraction, "Fraction held out, in whole groups"), 0.0, 1.0)
      ->group(group);
  command
      .add_option(
          "--group", o.group,
          "Column of groups that stay together; default: that of the layout: experiment, or group in labels.csv")
      ->group(group)
      ->type_name("COLUMN");
  add_max_missing(command, o.max_missing)->group(group);
  add_white(command, o.white)->group(group);
  add_workers(command, o.workers)->group(group);
  add_cache(command, o.cache_gib)->group(group);
}

void declare_input(CLI::App& command, TrainOptions& o) {
  const std::string group = "Input";
  take_choice(
      command.add_option("--fusion", o.fusion,
                         "What the network reads: all channels, RGB by colormap, principal components of "
                         "the training images, or a trained 1x1 convolution"),
      {"none", "colormap", "pca", "learned"})
      ->group(group);
  take_path(command.add_option("--colormap", o.colormap,
                               "CSV of channel,colour,low,high; default: the RxRx1 utilities' six channels"),
            "FILE")
      ->group(group);
  take_whole(command.add_option("--components", o.components, "Channels that fusion pca or learned makes"), 1,
             PreprocessOptions::kMaxChannels)
      ->group(group);
  take_whole(command.add_option("--shrink", o.shrink, "Average N x N pixels"), 1, 64)->group(group);
  take_whole(
      command.add_option("--crop", o.crop, "Side of the square crop after shrinking; 0: the whole image"), 0,
      16384)
      ->group(group);
  take_choice(
      command.add_option("--normalize", o.normalize, "Standardise each image and channel, or divide by 255"),
      {"image", "unit"})
      ->group(group);
  declare_flag(command, "--mirror,!--no-mirror", o.mirror, "Mirror training images at random")->group(group);
  declare_flag(command, "--quarter-turns,!--no-quarter-turns", o.quarter_turns,
               "Turn training images at random")
      ->group(group);
  take_number(command.add_option("--brightness", o.brightness,
                                 "Jitter of each channel's gain and offset in training"),
              0.0, 2.0)
      ->group(group);
}

void declare_model(CLI::App& command, TrainOptions& o) {
  const std::string group = "Model";
  take_choice(command.add_option("--model", o.model, "Network"), model_names())->group(group);
  take_choice(
      command.add_option("--stem", o.stem,
                         "First layer of a ResNet: 7x7 of stride 2 and a pool, or 3x3 of stride 1 for "
                         "images of 64 pixels or less; auto: 3x3 up to 32 pixels"),
      {"auto", "7x7", "3x3"})
      ->group(group);
  declare_flag(command, "--zero-init-last,!--no-zero-init-last", o.zero_init_last,
               "Start each residual block as the identity")
      ->group(group);
  take_number(command.add_option("--dropout", o.dropout, "Fraction dropped before the last layer"), 0.0, 0.95)
      ->group(group);
  take_path(
      command.add_option("--init-weights", o.init_weights, "safetensors to start from, torchvision's names"),
      "FILE")
      ->group(group);
}

void declare_optimization(CLI::App& command, TrainOptions& o) {
  const std::string group = "Optimization";
  constexpr double kMost = 1e9;
  take_whole(command.add_option("--epochs", o.epochs, "Passes over the training images"), 1, 1000000)
      ->group(group);
  add_batch(command, o.batch)->group(group);
  take_choice(
      command.add_option(
          "--sampler", o.sampler,
          "Images of a batch: any, or those of one plate, experiment or group, whose batch "
          "effect the batch norm then takes out; of what fills no batch, an epoch leaves out less than "
          "half of one a plate"),
      {"random", "plate", "experiment", "group"})
      ->group(group);
  take_choice(command.add_option("--optimizer", o.optimizer, "SGD with momentum, or AdamW"), {"sgd", "adamw"})
      ->group(group);
  take_number(command.add_option("--lr", o.lr, "Highest learning rate; 0: 0.1 for sgd, 0.001 for adamw"), 0.0,
              kMost)
      ->group(group);
  take_number(command.add_option("--momentum", o.momentum, "Of sgd"), 0.0, 1.0)->group(group);
  declare_flag(command, "--nesterov,!--no-nesterov", o.nesterov, "Nesterov momentum for sgd")->group(group);
  take_number(command.add_option("--weight-decay", o.weight_decay, "Decoupled; not on norms and biases"), 0.0,
              kMost)
      ->group(group);
  take_choice(command.add_option("--schedule", o.schedule, "Of the learning rate"),
              {"one_cycle", "cosine", "constant"})
      ->group(group);
  take_number(command.add_option("--warmup", o.warmup, "Epochs of warm-up before the cosine or the constant"),
              0.0, kMost)
      ->group(group);
  take_number(command.add_option("--label-smoothing", o.label_smoothing,
                                 "Share of the label spread over all classes"),
              0.0, 1.0)
      ->group(group);
  take_choice(
      command.add_option("--class-weights", o.class_weights, "Weigh the loss by inverse class frequency"),
      {"none", "balanced"})
      ->group(group);
  take_number(command.add_option("--clip-norm", o.clip_norm, "Largest gradient norm; 0: no clipping"), 0.0,
              kMost)
      ->group(group);
  take_number(
      command.add_option(
          "--ema", o.ema,
          "Decay of the averaged weights that are evaluated, with batch norm statistics of their own; 0: none"),
      0.0, 1.0)
      ->group(group);
  add_adabn(command, o.adabn, "auto: that of the --sampler")->group(group);
  take_seed(command.add_option("--seed", o.seed, "Of every random choice"))->group(group);
}

}  // namespace

void declare_train_options(CLI::App& command, TrainOptions& options) {
  command.option_defaults()->always_capture_default();
  declare_data(command, options);
  declare_input(command, options);
  declare_model(command, options);
  declare_optimization(command, options);
  add_device(command, options.device)->group("Run");
  add_dtype(command, options.dtype)->group("Run");
  declare_flag(command, "--deterministic,!--no-deterministic", options.deterministic,
               "On a GPU, use only algorithms that give the same bits each time; a CPU always does")
      ->group("Run");
  declare_flag(
      command, "--autotune,!--no-autotune", options.autotune,
      "On a GPU, measure the algorithms of each convolution and keep the fastest; smaller last batches take "
      "those proposed")
      ->group("Run");
}

TrainOptions read_train_config(const std::filesystem::path& file, TrainOptions options) {
  if (!file_exists(file)) fail("{}: there are no settings of a run", file.string());
  const std::string text = read_text_file(file);
  CLI::App parser;
  declare_train_options(parser, options);
  std::set<std::string> seen;
  for (ConfigItem& item : parse_config(text, file.string())) {
    const auto* setting = std::find_if(std::begin(kSettings), std::end(kSettings),
                                       [&](const Setting& s) { return s.name == item.name; });
    if (setting == std::end(kSettings))
      fail("{}: there is no setting {}", file.string(), in_quotes(item.name));
    if (!seen.insert(item.name).second) fail("{}: '{}' is set twice", file.string(), item.name);
    try {
      read_setting(*setting, std::move(item.values), *parser.get_option("--" + item.name), options);
    } catch (const CLI::Error& error) {
      fail("{}: {}", file.string(), error.what());
    }
  }
  return options;
}

TrainOptions read_run_config(const std::filesystem::path& file) {
  TrainOptions earlier;
  earlier.adabn = "none";
  return read_train_config(file, std::move(earlier));
}

std::vector<TrainSetting> train_settings(const TrainOptions& options) {
  std::vector<TrainSetting> settings;
  for (const Setting& setting : kSettings) {
    settings.push_back(
        {std::string(setting.name),
         std::visit([&](auto member) { return toml_value(options.*member); }, setting.member)});
  }
  return settings;
}

void copy_setting(const std::string& name, const TrainOptions& from, TrainOptions& to) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) std::visit([&](auto member) { to.*member = from.*member; }, setting.member);
  }
}

std::string format_train_config(const TrainOptions& options) {
  std::string text;
  for (const TrainSetting& setting : train_settings(options))
    text += setting.name + "=" + setting.value + "\n";
  return text;
}

}  // namespace cytograd
