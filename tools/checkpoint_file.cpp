#include "tools/checkpoint_file.h"

#include <limits>

#include "engine/check.h"
#include "engine/fnv1a.h"
#include "engine/parse_number.h"
#include "models/weights.h"
#include "tools/option_values.h"

namespace cytograd {
namespace {

constexpr const char* kChannels = "cytograd.channels";

constexpr const char* kFusionTables = "cytograd.fusion_tables";
constexpr const char* kClassNames = "cytograd.class_names";
constexpr const char* kValidation = "cytograd.validation";
constexpr const char* kImages = "cytograd.images";
constexpr const char* kGroups = "cytograd.validation_groups";
constexpr const char* kEpoch = "cytograd.epoch";    // of the best weights
constexpr const char* kEpochs = "cytograd.epochs";  // that were planned
constexpr const char* kSize = "cytograd.size";

SafetensorsMetadata metadata(const CheckpointInfo& info) {
  SafetensorsMetadata data = info.evaluation;
  data["format"] = "pt";  // the layout of weights, as the safetensors package calls it
  data["cytograd.model"] = info.model;
  data[kChannels] = std::to_string(info.channels);
  data["cytograd.classes"] = std::to_string(info.classes);
  data[kValidation] = info.validation;
  data[kImages] = info.images;
  data[kGroups] = info.groups;
  if (!info.size.empty()) data[kSize] = info.size;
  return data;
}

const std::string& entry(const SafetensorsMetadata& metadata, const std::string& key,
                         const std::string& source) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) fail("{}: no checkpoint of cytograd: metadata '{}' is absent", source, key);
  return found->second;
}

template <typename T>
T number(const SafetensorsMetadata& metadata, const std::string& key, const std::string& source) {
  const std::string& text = entry(metadata, key, source);
  const auto value = parse_number<T>(text);
  if (!value) fail("{}: metadata '{}' is '{}', not a number", source, key, text);
  return *value;
}

/// Nothing where an earlier version wrote the file.
std::optional<int64_t> planned_epochs_of(const SafetensorsMetadata& metadata, const std::string& source) {
  if (!metadata.contains(kEpochs)) return std::nullopt;
  return number<int64_t>(metadata, kEpochs, source);
}

void append(std::vector<NamedTensor>& tensors, const std::vector<NamedTensor>& more) {
  for (const NamedTensor& tensor : more) tensors.push_back({tensor.name, tensor.tensor.to(Device::cpu)});
}

}  // namespace

std::string checkpoint_size(const SafetensorsFile& file) {
  const auto found = file.metadata.find(kSize);
  return found == file.metadata.end() ? "" : found->second;
}

const std::vector<std::string>& training_state_prefixes() {
  static const std::vector<std::string> prefixes{"optimizer.", "ema."};
  return prefixes;
}

SafetensorsMetadata evaluation_metadata(const TrainOptions& options, const std::vector<std::string>& classes,
                                        const FusionTables& fusion) {
  return {{"cytograd.model", options.model},
          {"cytograd.fusion", options.fusion},
          {kFusionTables, fusion_fingerprint(fusion)},
          {"cytograd.white", std::to_string(options.white)},
          {"cytograd.shrink", std::to_string(options.shrink)},
          {"cytograd.crop", std::to_string(options.crop)},
          {"cytograd.normalize", options.normalize},
          {"cytograd.stem", options.stem},
          {"cytograd.classes", std::to_string(classes.size())},
          {kClassNames, fingerprint(classes)}};
}

void require_metadata(const SafetensorsFile& file, const std::string& source,
                      const SafetensorsMetadata& expected) {
  for (const auto& [key, value] : expected) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end() || found->second == value) continue;
    if (key == kClassNames)
      fail("{}: the weights were trained on other classes than classes.csv names; they are of another run",
           source);
    if (key == kFusionTables)
      fail("{}: the weights were trained with other colours or principal components than the run folder has",
           source);
    if (key == kValidation)
      fail(
          "{}: the run began with other validation images, of which some would now be trained on; --data must have the "
          "images that it began with, and an earlier version of cytograd may have drawn another split",
          source);
    if (key == kImages)
      fail(
          "{}: the run began with other images, or other labels of theirs, than --data has now; train anew, with "
          "--init-weights to begin with its weights",
          source);
    if (key == kGroups)
      fail(
          "{}: the run began with other groups, plates, wells or splits of its images, or other labels of those of "
          "--val, than there are now: images that it was validated on might be trained on; train anew, with "
          "--init-weights to begin with its weights",
          source);
    fail("{}: {} is {} but this run has {}; the weights are of another run", source, key,
         in_quotes(found->second), in_quotes(value));
  }
}

/// With a zero byte behind each text.
std::string fingerprint(const std::vector<std::string>& texts) {
  uint64_t hash = kFnv1aStart;
  for (const std::string& text : texts) hash = fnv1a(std::string_view("\0", 1), fnv1a(text, hash));
  return fmt::format("{:016x}", hash);
}

int64_t checkpoint_channels(const SafetensorsFile& file, const std::string& source,
                            const FusionTables& fusion) {
  int64_t channels = 0;
  if (file.metadata.contains(kChannels)) {
    channels = number<int64_t>(file.metadata, kChannels, source);
  } else if (fusion.colormap || fusion.pca) {
    channels = fusion.colormap ? fusion.colormap->channels() : fusion.pca->pca.channels();
  } else {
    const Tensor* first = file.find("fusion.weight");
    if (first == nullptr) first = file.find("conv1.weight");
    if (first == nullptr) fail("{}: tensor 'conv1.weight' is absent; the file holds no model", source);
    channels = first->rank() == 4 ? first->dim(1) : 0;
  }
  if (channels < 1 || channels > PreprocessOptions::kMaxChannels) {
    fail("{}: the model is for images of {} channels; 1 to {} are possible", source, channels,
         PreprocessOptions::kMaxChannels);
  }
  return channels;
}

std::optional<int64_t> planned_epochs(const std::filesystem::path& file) {
  return planned_epochs_of(read_safetensors_header(file).metadata, file.string());
}

void write_best(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info) {
  SafetensorsMetadata data = metadata(info);
  data[kEpoch] = std::to_string(state.progress.best_epoch);
  if (state.ema != nullptr) state.ema->swap();
  write_safetensors(file, export_weights(state.model),
                    data);  // exports share the weights' memory: before the swap
  if (state.ema != nullptr) state.ema->swap();
}

void write_last(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info) {
  SafetensorsMetadata data = metadata(info);
  if (state.progress.planned_epochs > 0) data[kEpochs] = std::to_string(state.progress.planned_epochs);
  data["cytograd.best_epoch"] = std::to_string(state.progress.best_epoch);
  data["cytograd.best_accuracy"] =
      fmt::format("{}", state.progress.best_accuracy);  // shortest text that reads back
  // To the last bit: an accuracy may come to be the one to beat.
  data["cytograd.metrics"] =
      format_metrics(state.progress.history, std::numeric_limits<double>::max_digits10);
  std::vector<NamedTensor> tensors = export_weights(state.model);
  append(tensors, state.optimizer.state());
  if (state.ema != nullptr) append(tensors, state.ema->state());
  write_safetensors(file, tensors, data);
}

int64_t read_best(const std::filesystem::path& file, Model& model, const CheckpointInfo& info) {
  const SafetensorsFile saved = read_safetensors(file);
  require_metadata(saved, file.string(), metadata(info));
  import_weights(model, saved, file.string(), training_state_prefixes());
  return number<int64_t>(saved.metadata, kEpoch, file.string());
}

void read_last(const std::filesystem::path& file, TrainingState& state, const CheckpointInfo& info) {
  const std::string source = file.string();
  const SafetensorsFile saved = read_safetensors(file);
  entry(saved.metadata, "cytograd.model", source);
  require_metadata(saved, source, metadata(info));
  TrainingProgress progress;
  progress.history = parse_metrics(entry(saved.metadata, "cytograd.metrics", source), source);
  progress.best_epoch = number<int64_t>(saved.metadata, "cytograd.best_epoch", source);
  progress.best_accuracy = number<double>(saved.metadata, "cytograd.best_accuracy", source);
  progress.planned_epochs = planned_epochs_of(saved.metadata, source).value_or(0);
  for (size_t i = 0; i < progress.history.size(); ++i) {
    if (progress.history[i].epoch != static_cast<int64_t>(i) + 1)
      fail("{}: the metrics lack an epoch", source);
  }
  const auto epochs = static_cast<int64_t>(progress.history.size());
  if (epochs < 1) fail("{}: the metrics have no epoch", source);
  if (progress.best_epoch < 1 || progress.best_epoch > epochs)
    fail("{}: the best epoch is {} of {}", source, progress.best_epoch, epochs);
  if (!(progress.best_accuracy >= 0.0 && progress.best_accuracy <= 1.0))
    fail("{}: the best accuracy is {}, not from 0 to 1", source, progress.best_accuracy);
  import_weights(state.model, saved, source, training_state_prefixes());
  try {
    state.optimizer.load_state(saved.tensors);
    if (state.ema != nullptr) state.ema->load_state(saved.tensors);
  } catch (const Error& error) {
    fail("{}: {}; go on with the run's own --optimizer, --momentum and --ema", source, error.what());
  }
  state.progress = std::move(progress);
}

}  // namespace cytograd
