#include "tools/train_options.h"

#include <fstream>

#include "engine/check.h"
#include "models/model.h"

namespace cytograd {
namespace {

/// A flag whose default the configuration file shows.
CLI::Option* declare_flag(CLI::App& command, const std::string& names, bool& value,
                          const std::string& description) {
  return command.add_flag(names, value, description)->default_str(value ? "true" : "false");
}

void declare_data(CLI::App& command, TrainOptions& o) {
  const std::string group = "Data";
  command.add_option("--data", o.data, "Folder of images")->group(group)->type_name("DIR");
  command.add_option("--out", o.out, "Run folder to make")->group(group)->type_name("RUN");
  command.add_option("--label", o.label, "Column to learn; default: sirna or label, as the layout has it")
      ->group(group)
      ->type_name("COLUMN");
  command
      .add_option("--where", o.where,
                  "Keep the images whose COLUMN has one of these values: COLUMN=VALUE[,VALUE]")
      ->group(group)
      ->type_name("FILTER")
      ->take_all()
      ->default_str("");
  command.add_option("--val", o.val, "Folder of validation images, of the same layout")
      ->group(group)
      ->type_name("DIR");
  command.add_option("--val-group", o.val_group, "Groups held out for validation, as A,B")
      ->group(group)
      ->type_name("GROUP")
      ->delimiter(',')
      ->take_all()
      ->default_str("");
  command.add_option("--val-fraction", o.val_fraction, "Fraction held out, in whole groups")
      ->group(group)
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--group", o.group, "Column of groups that stay together; default: experiment or group")
      ->group(group)
      ->type_name("COLUMN");
  command.add_option("--max-missing", o.max_missing, "Fraction of images that may be missing or unreadable")
      ->group(group)
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--workers", o.workers, "Threads that read images")
      ->group(group)
      ->check(CLI::Range(1, 256));
  command.add_option("--cache-gib", o.cache_gib, "Memory for decoded images; negative: half of what is free")
      ->group(group);
}

void declare_input(CLI::App& command, TrainOptions& o) {
  const std::string group = "Input";
  command
      .add_option("--fusion", o.fusion,
                  "What the network reads: all channels, RGB by colormap, or a trained 1x1")
      ->group(group)
      ->check(CLI::IsMember({"none", "colormap", "learned"}));
  command.add_option("--shrink", o.shrink, "Average K x K pixels")->group(group)->check(CLI::Range(1, 64));
  command.add_option("--crop", o.crop, "Side of the square crop after shrinking; 0: the whole image")
      ->group(group)
      ->check(CLI::Range(0, 16384));
  command.add_option("--normalize", o.normalize, "Standardise each image and channel, or divide by 255")
      ->group(group)
      ->check(CLI::IsMember({"image", "unit"}));
  declare_flag(command, "--mirror,!--no-mirror", o.mirror, "Mirror training images at random")->group(group);
  declare_flag(command, "--quarter-turns,!--no-quarter-turns", o.quarter_turns,
               "Turn training images at random")
      ->group(group);
  command.add_option("--brightness", o.brightness, "Jitter of each channel's gain and offset in training")
      ->group(group)
      ->check(CLI::Range(0.0, 2.0));
}

void declare_model(CLI::App& command, TrainOptions& o) {
  const std::string group = "Model";
  command.add_option("--model", o.model, "Network")->group(group)->check(CLI::IsMember(model_names()));
  command
      .add_option("--stem", o.stem,
                  "First layer of a ResNet: 7x7 of stride 2 and a pool, or 3x3 of stride 1 for "
                  "images of 64 pixels or less; auto: 3x3 up to 32 pixels")
      ->group(group)
      ->check(CLI::IsMember({"auto", "7x7", "3x3"}));
  declare_flag(command, "--zero-init-last,!--no-zero-init-last", o.zero_init_last,
               "Start each residual block as the identity")
      ->group(group);
  command.add_option("--dropout", o.dropout, "Before the last layer")
      ->group(group)
      ->check(CLI::Range(0.0, 0.95));
  command.add_option("--init-weights", o.init_weights, "safetensors to start from, torchvision's names")
      ->group(group)
      ->type_name("FILE");
}

void declare_optimization(CLI::App& command, TrainOptions& o) {
  const std::string group = "Optimization";
  const CLI::Range not_negative(0.0, 1e9);
  command.add_option("--epochs", o.epochs)->group(group)->check(CLI::Range(1, 1000000));
  command.add_option("--batch", o.batch, "Images a step")->group(group)->check(CLI::Range(2, 65536));
  command.add_option("--optimizer", o.optimizer)->group(group)->check(CLI::IsMember({"sgd", "adamw"}));
  command.add_option("--lr", o.lr, "Highest learning rate; 0: 0.1 for sgd, 0.001 for adamw")
      ->group(group)
      ->check(not_negative);
  command.add_option("--momentum", o.momentum, "Of sgd")->group(group)->check(CLI::Range(0.0, 1.0));
  declare_flag(command, "--nesterov,!--no-nesterov", o.nesterov, "Nesterov momentum for sgd")->group(group);
  command.add_option("--weight-decay", o.weight_decay, "Decoupled; not on norms and biases")
      ->group(group)
      ->check(not_negative);
  command.add_option("--schedule", o.schedule, "Of the learning rate")
      ->group(group)
      ->check(CLI::IsMember({"one_cycle", "cosine", "constant"}));
  command.add_option("--warmup", o.warmup, "Epochs of warm-up before the cosine")
      ->group(group)
      ->check(not_negative);
  command.add_option("--label-smoothing", o.label_smoothing)->group(group)->check(CLI::Range(0.0, 1.0));
  command.add_option("--class-weights", o.class_weights, "Weigh the loss by inverse class frequency")
      ->group(group)
      ->check(CLI::IsMember({"none", "balanced"}));
  command.add_option("--clip-norm", o.clip_norm, "Largest gradient norm; 0: no clipping")
      ->group(group)
      ->check(not_negative);
  command.add_option("--ema", o.ema, "Decay of the averaged weights that are evaluated; 0: none")
      ->group(group)
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--seed", o.seed)->group(group);
}

}  // namespace

void declare_train_options(CLI::App& command, TrainOptions& options) {
  command.option_defaults()->always_capture_default();
  declare_data(command, options);
  declare_input(command, options);
  declare_model(command, options);
  declare_optimization(command, options);
  command.add_option("--device", options.device)->group("Run")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command.add_option("--dtype", options.dtype, "Of activations; weights stay f32")
      ->group("Run")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}));
}

TrainOptions read_train_config(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) fail("{}: the configuration cannot be read", file.string());
  TrainOptions options;
  CLI::App parser;
  declare_train_options(parser, options);
  parser.allow_config_extras(CLI::config_extras_mode::error);
  try {
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
