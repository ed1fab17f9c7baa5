// A model's weights as named tensors with torchvision's names and layouts, as checkpoints hold them.
#pragma once

#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "models/model.h"

namespace cytograd {

/// Parameters and buffers on the CPU, convolution weights [O, I, KH, KW].
std::vector<NamedTensor> export_weights(Model& model);

/// Overwrites the model's weights. Throws Error, naming `source` and the tensor, where one is absent or of another
/// shape or type; then nothing is changed. Tensors that the model does not have are ignored where their names start
/// with one of `also_there`, else an Error.
void import_weights(Model& model, const SafetensorsFile& file, const std::string& source,
                    const std::vector<std::string>& also_there = {});

/// Starts a model from weights for another task: a 3-channel stem is inflated to the model's channels, and a last layer
/// ("fc") of another number of classes is left as it is. Returns the names of what was left. Throws Error as above; a
/// deeper network's file is none for a shallower one.
std::vector<std::string> import_pretrained(Model& model, const SafetensorsFile& file,
                                           const std::string& source,
                                           const std::vector<std::string>& also_there = {});

}  // namespace cytograd
