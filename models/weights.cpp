#include "models/weights.h"

#include <algorithm>
#include <limits>

#include "engine/checkpoint.h"

namespace cytograd {
namespace {

constexpr std::string_view kStem = "conv1.weight";
constexpr std::string_view kBatchesTracked = ".num_batches_tracked";
constexpr std::string_view kRunningVar = ".running_var";

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

/// Fails where `found`, as the file has it, is not of the shape that is due and the target's type.
void require_fit(const Assignment& assignment, const Tensor& found, const Shape& due,
                 const std::string& source) {
  const DType type = assignment.target->dtype();
  if (found.shape() != due)
    fail("{}: tensor '{}' is {} {} but the model needs {} {}; the file is for another model", source,
         assignment.name, dtype_name(found.dtype()), found.shape(), dtype_name(type), due);
  if (found.dtype() != type)
    fail("{}: tensor '{}' is {} but the model needs {}; convert it", source, assignment.name,
         dtype_name(found.dtype()), dtype_name(type));
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

/// Fails where a value is no number a network can compute with.
void require_finite(const Assignment& assignment, const std::string& source) {
  if (assignment.value.dtype() != DType::f32) return;
  const float* values = assignment.value.data<float>();
  const float least = assignment.name.ends_with(kRunningVar) ? 0.0f : -std::numeric_limits<float>::max();
  const int64_t count = assignment.value.elements();
  const float* const bad = std::find_if_not(
      values, values + count, [&](float v) { return v >= least && v <= std::numeric_limits<float>::max(); });
  if (bad != values + count)
    fail("{}: tensor '{}' holds {}{}; its network has diverged, or the file is damaged", source,
         assignment.name, *bad, *bad < 0.0f && least == 0.0f ? ", which no variance is" : "");
}

void assign(std::vector<Assignment>& assignments, const std::string& source) {
  for (const Assignment& assignment : assignments) {
    if (assignment.value.defined()) require_finite(assignment, source);
  }
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
    require_fit(assignment, *found, to_torch_layout(assignment.target->shape()), source);
    assignment.value = from_torch_layout(*found);
  }
  require_no_more(assignments, file, source,
                  [&](const std::string& name) { return starts_with_any(name, also_there); });
  assign(assignments, source);
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
    Shape due = to_torch_layout(assignment.target->shape());
    if (head && found->shape() != due) {
      left.push_back(assignment.name);
      continue;
    }
    const bool is_for_colours = assignment.name == kStem && found->rank() == 4 && found->dim(1) == 3;
    const int64_t channels = is_for_colours ? due[1] : 0;
    if (is_for_colours) due = {due[0], 3, due[2], due[3]};
    require_fit(assignment, *found, due, source);
    assignment.value = from_torch_layout(is_for_colours ? inflate_stem(*found, channels) : *found);
  }
  require_no_more(assignments, file, source, [&](const std::string& name) {
    return name.starts_with("fc.") || name.ends_with(kBatchesTracked) || starts_with_any(name, also_there);
  });
  assign(assignments, source);
  return left;
}

}  // namespace cytograd
