// Every setting of a training run: command line, config.toml and their checks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cytograd {

/// Names and defaults are those of `cytograd train --help`.
struct TrainOptions {
  // Data.
  std::string data;
  std::string out;
  std::string label;               ///< column; "": the layout's own
  std::vector<std::string> where;  ///< COLUMN=VALUE[,VALUE...]
  std::string val;
  std::vector<std::string> val_group;
  double val_fraction = 0.2;
  std::string group;  ///< column; "": the layout's own
  double max_missing = 0.05;
  int64_t white = 65535;  ///< 16-bit level that becomes 255
  int64_t workers = 2;
  double cache_gib = -1.0;  ///< negative: half of the free memory

  // Input.
  std::string fusion = "none";
  std::string colormap;  ///< file; "": the RxRx1 utilities' colours
  int64_t components = 3;
  int64_t shrink = 1;
  int64_t crop = 0;
  std::string normalize = "image";
  bool mirror = true;
  bool quarter_turns = true;
  double brightness = 0.0;

  // Model.
  std::string model = "resnet18";
  std::string stem = "auto";
  bool zero_init_last = false;
  double dropout = 0.0;
  std::string init_weights;

  // Optimization.
  int64_t epochs = 30;
  int64_t batch = 64;
  std::string sampler = "random";
  std::string optimizer = "sgd";
  double lr = 0.0;  ///< 0: 0.1 for sgd, 0.001 for adamw
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-3;
  std::string schedule = "one_cycle";
  double warmup = 1.0;  ///< epochs, for the constant and the cosine schedule
  double label_smoothing = 0.1;
  std::string class_weights = "none";
  double clip_norm = 0.0;
  double ema = 0.0;
  std::string adabn = "auto";
  uint64_t seed = 0;

  // Run.
  std::string device = "auto";
  std::string dtype = "auto";
  bool deterministic = false;
  bool autotune = false;
  bool resume = false;

  /// What the statistics of the batch norm are of in evaluation: "none" (of the training), or the domain that --adabn
  /// names.
  std::string adaptation() const { return adabn != "auto" ? adabn : sampler != "random" ? sampler : "none"; }
  double learning_rate() const { return lr > 0.0 ? lr : (optimizer == "sgd" ? 0.1 : 0.001); }
};

/// Declares the options on a command; values already in `options` are the defaults that --help shows.
void declare_train_options(CLI::App& command, TrainOptions& options);

/// Settings of a config.toml over those of `options`. Throws Error naming the file where it is absent or wrong.
TrainOptions read_train_config(const std::filesystem::path& file, TrainOptions options = {});

/// The same of a run's own config.toml: what it does not name, since an earlier version wrote it, is as that version
/// did it.
TrainOptions read_run_config(const std::filesystem::path& file);

/// A setting by the name of its option, with its value as config.toml has it.
struct TrainSetting {
  std::string name;
  std::string value;
};
std::vector<TrainSetting> train_settings(const TrainOptions& options);
void copy_setting(const std::string& name, const TrainOptions& from, TrainOptions& to);

/// The settings as TOML, enough to repeat the run.
std::string format_train_config(const TrainOptions& options);

}  // namespace cytograd
