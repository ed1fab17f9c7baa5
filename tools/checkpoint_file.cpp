#include "tools/checkpoint_file.h"

#include <charconv>
#include <map>

#include "data/colormap.h"
#include "engine/check.h"
#include "models/weights.h"

namespace cytograd {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr const char* kChannels = "cytograd.channels";

Metadata metadata(const CheckpointInfo& info) {
  return {{"format", "pt"},  // the layout of weights, as the safetensors package calls it
          {"cytograd.model", info.model},
          {kChannels, std::to_string(info.channels)},
          {"cytograd.classes", std::to_string(info.classes)}};
}

const std::string& entry(const SafetensorsFile& file, const std::string& key, const std::string& source) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    fail("{}: no checkpoint of cytograd: metadata '{}' is absent", source, key);
  return found->second;
}

template <typename T>
T number(const SafetensorsFile& file, const std::string& key, const std::string& source) {
  const std::string& text = entry(file, key, source);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("{}: metadata '{}' is '{}', not a number", source, key, text);
  }
  return value;
}

void append(std::vector<NamedTensor>& tensors, const std::vector<NamedTensor>& more) {
  for (const NamedTensor& tensor : more) tensors.push_back({tensor.name, tensor.tensor.to(Device::cpu)});
}

}  // namespace

const std::vector<std::string>& training_state_prefixes() {
  static const std::vector<std::string> prefixes{"optimizer.", "ema."};
  return prefixes;
}

int64_t checkpoint_channels(const SafetensorsFile& file, const std::string& source, bool colormap) {
  int64_t channels = 0;
  if (file.metadata.contains(kChannels)) {
    channels = number<int64_t>(file, kChannels, source);
  } else if (colormap) {
    channels = kColormapChannels;
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

void write_best(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info) {
  Metadata data = metadata(info);
  data["cytograd.epoch"] = std::to_string(state.progress.best_epoch);
  if (state.ema != nullptr) state.ema->swap();
  write_safetensors(file, export_weights(state.model),
                    data);  // exports share the weights' memory: before the swap
  if (state.ema != nullptr) state.ema->swap();
}

void write_last(const std::filesystem::path& file, const TrainingState& state, const CheckpointInfo& info) {
  Metadata data = metadata(info);
  data["cytograd.best_epoch"] = std::to_string(state.progress.best_epoch);
  data["cytograd.best_accuracy"] =
      fmt::format("{}", state.progress.best_accuracy);  // shortest text that reads back
  data["cytograd.metrics"] = format_metrics(state.progress.history);
  std::vector<NamedTensor> tensors = export_weights(state.model);
  append(tensors, state.optimizer.state());
  if (state.ema != nullptr) append(tensors, state.ema->state());
  write_safetensors(file, tensors, data);
}

void read_last(const std::filesystem::path& file, TrainingState& state, const CheckpointInfo& info) {
  const std::string source = file.string();
  const SafetensorsFile saved = read_safetensors(file);
  for (const auto& [key, value] : metadata(info)) {
    if (entry(saved, key, source) != value) {
      fail("{}: {} is {} but this run has {}; the checkpoint is of another run", source, key,
           saved.metadata.at(key), value);
    }
  }
  TrainingProgress progress;
  progress.history = parse_metrics(entry(saved, "cytograd.metrics", source), source);
  progress.best_epoch = number<int64_t>(saved, "cytograd.best_epoch", source);
  progress.best_accuracy = number<double>(saved, "cytograd.best_accuracy", source);
  for (size_t i = 0; i < progress.history.size(); ++i) {
    if (progress.history[i].epoch != static_cast<int64_t>(i) + 1)
      fail("{}: the metrics lack an epoch", source);
  }
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
