#include "tools/train_options.h"

#include <fstream>
#include <set>

#include "engine/check.h"
#include "models/model.h"
#include "tools/option_values.h"

namespace cytograd {
namespace {

/// A flag whose default the configuration file shows.
CLI::Option* declare_flag(CLI::App& command, const std::string& names, bool& value,
                          const std::string& description) {
  return command.add_flag(names, value, description)->default_str(value ? "true" : "false");
}

void declare_data(CLI::App& command, TrainOptions& o) {
  const std::string group = "Data";
  command.add_option("--data", o.data, "Folder of images; needed, here or in --config")
      ->group(group)
      ->type_name("DIR");
  command.add_option("--out", o.out, "Run folder to make; needed")->group(group)->type_name("RUN");
  command.add_option("--label", o.label, "Column to learn; default: sirna or label, as the layout has it")
      ->group(group)
      ->type_name("COLUMN");
  add_where(command, o.where)->group(group);
  command.add_option("--val", o.val, "Folder of validation images, of the same layout")
      ->group(group)
      ->type_name("DIR");
  command.add_option("--val-group", o.val_group, "Groups held out for validation")
      ->group(group)
      ->type_name("A[,B]")
      ->delimiter(',')
      ->take_all()
      ->default_str("");
  take_number(command.add_option("--val-fraction", o.val_fraction, "Fraction held out, in whole groups"), 0.0,
              1.0)
      ->group(group);
  command.add_option("--group", o.group, "Column of groups that stay together; default: experiment or group")
      ->group(group)
      ->type_name("COLUMN");
  add_max_missing(command, o.max_missing)->group(group);
  take_whole(command.add_option("--workers", o.workers, "Threads that read images"), 1, 256)->group(group);
  take_number(command.add_option("--cache-gib", o.cache_gib,
                                 "Memory for decoded images; negative: half of what is free"),
              -1.0, 1e6)
      ->group(group);
}

void declare_input(CLI::App& command, TrainOptions& o) {
  const std::string group = "Input";
  take_choice(command.add_option("--fusion", o.fusion,
                                 "What the network reads: all channels, RGB by colormap, or a trained 1x1"),
              {"none", "colormap", "learned"})
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
  command.add_option("--init-weights", o.init_weights, "safetensors to start from, torchvision's names")
      ->group(group)
      ->type_name("FILE");
}

void declare_optimization(CLI::App& command, TrainOptions& o) {
  const std::string group = "Optimization";
  constexpr double kMost = 1e9;
  take_whole(command.add_option("--epochs", o.epochs, "Times that every training image is seen"), 1, 1000000)
      ->group(group);
  take_whole(command.add_option("--batch", o.batch, "Images a step"), 2, 65536)->group(group);
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
  take_number(command.add_option("--ema", o.ema, "Decay of the averaged weights that are evaluated; 0: none"),
              0.0, 1.0)
      ->group(group);
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
  take_choice(command.add_option("--dtype", options.dtype, "Of activations; weights stay f32"),
              {"auto", "f32", "bf16", "f16"})
      ->group("Run");
}

TrainOptions read_train_config(const std::filesystem::path& file) {
  std::error_code ignored;
  std::ifstream stream(file);
  if (!stream || !std::filesystem::is_regular_file(file, ignored))
    fail("{}: there are no settings of a run that can be read", file.string());
  TrainOptions options;
  CLI::App parser;
  declare_train_options(parser, options);
  try {
    // The parser itself takes the first of two values and says "INI was not able to parse" of an unknown name.
    std::set<std::string> seen;
    for (const CLI::ConfigItem& item : parser.get_config_formatter()->from_config(stream)) {
      const std::string name = item.fullname();
      if (!item.parents.empty() || parser.get_option_no_throw("--" + name) == nullptr)
        fail("{}: there is no setting '{}'", file.string(), name);
      if (!seen.insert(name).second) fail("{}: '{}' is set twice", file.string(), name);
    }
    stream.clear();
    stream.seekg(0);
    parser.parse_from_stream(stream);
  } catch (const CLI::Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
  for (auto* values : {&options.where, &options.val_group}) std::erase(*values, "");  // how none is written
  return options;
}

std::string format_train_config(const TrainOptions& options) {
  TrainOptions copy = options;
  CLI::App parser;
  declare_train_options(parser, copy);
  for (const auto& [name, values] :
       {std::pair{"--where", &options.where}, std::pair{"--val-group", &options.val_group}}) {
    for (const std::string& value : *values) parser.get_option(name)->add_result(value);
  }
  return parser.config_to_str(true, false);
}

}  // namespace cytograd
