#include "models/weights.h"

#include <algorithm>

#include "engine/checkpoint.h"

namespace cytograd {
namespace {

constexpr std::string_view kStem = "conv1.weight";
constexpr std::string_view kBatchesTracked = ".num_batches_tracked";

/// One of the model's tensors and the value a file has for it, in our layout.
struct Assignment {
  std::string name;
  Tensor* target = nullptr;
  Tensor value;
};

std::vector<Assignment> targets(Model& model) {
  std::vector<Assignment> result;
  ModelState state = model.state();
  for (Parameter& parameter : state.parameters) {
    result.push_back({parameter.name, &parameter.variable->mutable_value(), {}});
  }
  for (NamedBuffer& buffer : state.buffers) result.push_back({buffer.name, buffer.tensor, {}});
  return result;
}

/// Fails where `value` cannot stand for the target.
void require_fit(const Assignment& assignment, const Tensor& value, const std::string& source) {
  const Tensor& target = *assignment.target;
  if (value.shape() == target.shape() && value.dtype() == target.dtype()) return;
  fail("{}: tensor '{}' is {} {} but the model needs {} {}; the file is for another model", source,
       assignment.name, dtype_name(value.dtype()), to_torch_layout(value).shape(), dtype_name(target.dtype()),
       to_torch_layout(target).shape());
}

[[noreturn]] void fail_absent(const std::string& source, const std::string& name) {
  fail("{}: tensor '{}' is absent; the file is for another model", source, name);
}

void assign(std::vector<Assignment>& assignments) {
  for (Assignment& assignment : assignments) {
    if (assignment.value.defined()) assignment.target->copy_from(assignment.value);
  }
}

}  // namespace

std::vector<NamedTensor> export_weights(Model& model) {
  std::vector<NamedTensor> tensors;
  for (const Assignment& entry : targets(model)) {
    tensors.push_back({entry.name, to_torch_layout(entry.target->to(Device::cpu))});
  }
  return tensors;
}

void import_weights(Model& model, const SafetensorsFile& file, const std::string& source,
                    const std::vector<std::string>& also_there) {
  std::vector<Assignment> assignments = targets(model);
  for (Assignment& assignment : assignments) {
    const Tensor* found = file.find(assignment.name);
    if (found == nullptr) {
      if (assignment.name.ends_with(kBatchesTracked)) continue;  // absent in files of PyTorch before 0.4.1
      fail_absent(source, assignment.name);
    }
    assignment.value = from_torch_layout(*found);
    require_fit(assignment, assignment.value, source);
  }
  for (const NamedTensor& tensor : file.tensors) {
    const bool known = std::any_of(assignments.begin(), assignments.end(),
                                   [&](const auto& a) { return a.name == tensor.name; }) ||
                       std::any_of(also_there.begin(), also_there.end(),
                                   [&](const auto& p) { return tensor.name.starts_with(p); });
    if (!known) fail("{}: the model has no tensor '{}'; the file is for another model", source, tensor.name);
  }
  assign(assignments);
}

std::vector<std::string> import_pretrained(Model& model, const SafetensorsFile& file,
                                           const std::string& source) {
  std::vector<std::string> left;
  std::vector<Assignment> assignments = targets(model);
  for (Assignment& assignment : assignments) {
    const bool head = assignment.name.starts_with("fc.");
    const Tensor* found = file.find(assignment.name);
    if (found == nullptr) {
      if (!head && !assignment.name.starts_with("fusion.") && !assignment.name.ends_with(kBatchesTracked)) {
        fail_absent(source, assignment.name);
      }
      left.push_back(assignment.name);
      continue;
    }
    Tensor value = *found;
    const Tensor& target = *assignment.target;
    if (assignment.name == kStem && value.rank() == 4 && value.dim(1) == 3) {
      value = inflate_stem(value, target.dim(3));
    }
    value = from_torch_layout(value);
    if (head && value.shape() != target.shape()) {
      left.push_back(assignment.name);
      continue;
    }
    require_fit(assignment, value, source);
    assignment.value = value;
  }
  assign(assignments);
  return left;
}

}  // namespace cytograd
