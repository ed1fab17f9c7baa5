#include "tools/trained_run.h"

#include <filesystem>

#include "engine/check.h"
#include "engine/file_status.h"
#include "models/weights.h"
#include "tools/checkpoint_file.h"
#include "tools/pipeline.h"
#include "tools/progress.h"
#include "tools/run_device.h"
#include "tools/run_folder.h"

namespace cytograd {

ModelOptions model_options(const TrainOptions& options, const FusionTables& fusion, int64_t channels,
                           int64_t classes) {
  ModelOptions model;
  model.name = options.model;
  model.channels = fused_channels(fusion, channels);
  model.classes = classes;
  model.learned_fusion = options.fusion == "learned" ? options.components : 0;
  model.stem = options.stem == "3x3" ? Stem::conv3x3 : Stem::conv7x7;
  model.zero_init_last = options.zero_init_last;
  model.dropout = static_cast<float>(options.dropout);
  model.seed = options.seed;
  return model;
}

TrainedRun load_trained_run(const std::string& path, Device device) {
  std::filesystem::path weights = path;
  if (!file_exists(weights)) fail("{}: there is no such run", path);
  if (folder_exists(weights)) {
    weights = RunFolder(path).best();
    if (!file_exists(weights)) {
      fail("{}: there are no trained weights (best.safetensors); has 'cytograd train' finished an epoch?",
           path);
    }
  }
  const RunFolder folder(weights.has_parent_path() ? weights.parent_path() : ".");
  TrainedRun run;
  run.options = read_run_config(folder.config());
  run.classes = folder.read_classes();
  run.fusion = read_fusion_tables(run.options, folder);
  run.files = {folder.config(),  folder.classes(), folder.colormap(), folder.pca(),
               folder.metrics(), folder.best(),    folder.last(),     weights};
  const SafetensorsFile file = read_safetensors(weights);
  require_metadata(file, weights.string(), evaluation_metadata(run.options, run.classes, run.fusion));
  run.channels = checkpoint_channels(file, weights.string(), run.fusion);
  run.size = checkpoint_size(file);
  run.model = make_model(
      model_options(run.options, run.fusion, run.channels, static_cast<int64_t>(run.classes.size())));
  import_weights(*run.model, file, weights.string(), training_state_prefixes());
  if (file.find("ema.step") != nullptr)
    say(fmt::format(
        "note: {} is taken with the weights that are trained on, not with their averages, which {} has",
        weights.string(), folder.best().filename().string()));
  move_to(*run.model, device);
  return run;
}

EvaluatorOptions evaluator_options(const TrainedRun& run, const TrainOptions& options, Device device) {
  return {.preprocess = preprocess_options(options, run.fusion, run.channels, device),
          .device = device,
          .classes = static_cast<int64_t>(run.classes.size())};
}

void require_no_run_file(const TrainedRun& run, const std::string& output) {
  std::error_code ignored;
  for (const std::filesystem::path& file : run.files) {
    if (std::filesystem::equivalent(file, output, ignored))
      fail("{}: is a file of the run, which would be lost; name another file to write", output);
  }
}

void require_white(const TrainedRun& run, const Dataset& dataset) {
  if (!dataset.white || *dataset.white == run.options.white) return;
  fail("{}: was packed with --white {}, but the model was trained with {}; pack it anew",
       dataset.root.string(), *dataset.white, run.options.white);
}

void require_alike(const TrainedRun& run, const ImageInfo& image, const std::string& folder) {
  if (image.channels != run.channels)
    fail("{}: the images have {} channels but the model was trained on {}", folder, image.channels,
         run.channels);
  if (run.size.empty() || size_text(image) == run.size) return;
  say(fmt::format(
      "note: {}: the images have {} pixels but the model was trained on {}; at another magnification it is worth less",
      folder, size_text(image), run.size));
}

}  // namespace cytograd
