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

/// Fails where the file has tensors that the model lacks and that `is_allowed` does not know; names a few.
template <typename IsAllowed>
void require_no_more(const std::vector<Assignment>& assignments, const SafetensorsFile& file,
                     const std::string& source, const IsAllowed& is_allowed) {
  constexpr size_t kNamed = 3;
  std::string names;
  size_t count = 0;
  for (const NamedTensor& tensor : file.tensors) {
    const bool known = std::any_of(assignments.begin(), assignments.end(),
                                   [&](const auto& a) { return a.name == tensor.name; });
    if (known || is_allowed(tensor.name) || ++count > kNamed) continue;
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", tensor.name);
  }
  if (count > kNamed) names += fmt::format(" and {} more", count - kNamed);
  if (count > 0) fail("{}: the model has no tensor {}; the file is for another model", source, names);
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& p) { return name.starts_with(p); });
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
  require_no_more(assignments, file, source,
                  [&](const std::string& name) { return starts_with_any(name, also_there); });
  assign(assignments);
}

std::vector<std::string> import_pretrained(Model& model, const SafetensorsFile& file,
                                           const std::string& source,
                                           const std::vector<std::string>& also_there) {
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
  require_no_more(assignments, file, source, [&](const std::string& name) {
    return name.starts_with("fc.") || name.ends_with(kBatchesTracked) || starts_with_any(name, also_there);
  });
  assign(assignments);
  return left;
}

}  // namespace cytograd
