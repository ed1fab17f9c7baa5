#include "engine/cudnn.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "engine/check.h"

namespace cytograd {
namespace {

namespace fe = cudnn_frontend;
using TensorHandle = std::shared_ptr<fe::graph::Tensor_attributes>;

enum class Direction : uint8_t { forward, backward_input, backward_weight };

void check(fe::error_t status, const std::string& what) {
  if (status.is_bad()) fail("cuDNN, {}: {}", what, status.get_message());
}
void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN, {}: {}", what, cudnnGetErrorString(status));
}

fe::DataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return fe::DataType_t::FLOAT;
    case DType::bf16:
      return fe::DataType_t::BFLOAT16;
    case DType::f16:
      return fe::DataType_t::HALF;
    default:
      fail("cuDNN: {} is not a floating type", dtype_name(dtype));
  }
}

/// cuDNN names dimensions as NCHW; the strides say that channels lie innermost.
fe::graph::Tensor_attributes attributes(const char* name, const Tensor& t) {
  const int64_t n = t.dim(0), h = t.dim(1), w = t.dim(2), c = t.dim(3);
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_data_type(data_type(t.dtype()))
      .set_dim({n, c, h, w})
      .set_stride({h * w * c, 1, w * c, c});
}

struct Plan {
  std::shared_ptr<fe::graph::Graph> graph;
  TensorHandle x, w, y;
  int64_t chosen = 0;  // of those that cuDNN's heuristics name, best first
  int64_t workspace = 0;
};

using Pack = std::unordered_map<TensorHandle, void*>;

constexpr int64_t kMeasured = 8;  // of an autotuned convolution's candidates
constexpr int kMeasurements = 3;  // of each

using Key = std::array<int64_t, 13>;

Key key_of(Direction direction, const CudnnConvolutions::Arguments& a) {
  return {static_cast<int64_t>(direction),
          static_cast<int64_t>(a.x.dtype()),
          a.x.dim(0),
          a.x.dim(1),
          a.x.dim(2),
          a.x.dim(3),
          a.w.dim(0),
          a.w.dim(1),
          a.w.dim(2),
          a.options.stride,
          a.options.padding,
          a.y.dim(1),
          a.y.dim(2)};
}

std::string describe(Direction direction, const CudnnConvolutions::Arguments& a) {
  static constexpr std::array kNames{"convolution", "convolution backward to its input",
                                     "convolution backward to its weight"};
  return fmt::format("{} of {} {} with {}, stride {}, padding {}", kNames.at(static_cast<size_t>(direction)),
                     dtype_name(a.x.dtype()), a.x.shape(), a.w.shape(), a.options.stride, a.options.padding);
}

}  // namespace

struct CudnnConvolutions::State {
  cudnnHandle_t handle = nullptr;
  device::Stream stream = nullptr;
  DeviceOptions options;
  bool measuring = true;
  std::mutex mutex;
  std::map<Key, Plan> plans;

  Plan build(Direction direction, const Arguments& a) const;
  /// Of plan `index`, in bytes; nothing where it cannot be built.
  static std::optional<int64_t> workspace_at(fe::graph::Graph& graph, int64_t index);
  /// Turns to the first plan that works and needs less workspace. Returns whether there is one.
  static bool choose_smaller(Plan& plan);
  Tensor workspace_of(Plan& plan) const;
  /// Of plan `index`, which is built for it; infinite where it cannot be, or there is no memory for it.
  double measured_milliseconds(const Plan& plan, int64_t index, Pack& pack) const;
  void autotune(Plan& plan, Pack& pack, const std::string& what) const;
  void run(Direction direction, const Arguments& a);
};

Plan CudnnConvolutions::State::build(Direction direction, const Arguments& a) const {
  Plan plan{std::make_shared<fe::graph::Graph>(), {}, {}, {}};
  fe::graph::Graph& graph = *plan.graph;
  graph.set_io_data_type(data_type(a.x.dtype()))
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const std::vector<int64_t> padding(2, a.options.padding), stride(2, a.options.stride), dilation(2, 1);
  const auto complete = [](const TensorHandle& result, const fe::graph::Tensor_attributes& like) {
    result->set_output(true)
        .set_data_type(like.get_data_type())
        .set_dim(like.get_dim())
        .set_stride(like.get_stride());
  };
  const auto x = attributes("x", a.x), w = attributes("w", a.w), y = attributes("y", a.y);
  switch (direction) {
    case Direction::forward:
      plan.x = graph.tensor(x);
      plan.w = graph.tensor(w);
      plan.y = graph.conv_fprop(
          plan.x, plan.w,
          fe::graph::Conv_fprop_attributes().set_padding(padding).set_stride(stride).set_dilation(dilation));
      complete(plan.y, y);
      break;
    case Direction::backward_input:
      plan.y = graph.tensor(y);
      plan.w = graph.tensor(w);
      plan.x = graph.conv_dgrad(
          plan.y, plan.w,
          fe::graph::Conv_dgrad_attributes().set_padding(padding).set_stride(stride).set_dilation(dilation));
      complete(plan.x, x);
      break;
    case Direction::backward_weight:
      plan.y = graph.tensor(y);
      plan.x = graph.tensor(x);
      plan.w = graph.conv_wgrad(
          plan.y, plan.x,
          fe::graph::Conv_wgrad_attributes().set_padding(padding).set_stride(stride).set_dilation(dilation));
      complete(plan.w, w);
      break;
  }
  const std::string what = describe(direction, a);
  check(graph.validate(), what);
  check(graph.build_operation_graph(handle), what);
  check(graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}), what);
  graph.deselect_numeric_notes({fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION});  // sums are f32
  if (options.deterministic) graph.deselect_numeric_notes({fe::NumericalNote_t::NONDETERMINISTIC});
  // f32 means f32: no TF32.
  if (a.x.dtype() == DType::f32)
    graph.deselect_numeric_notes(
        {fe::NumericalNote_t::TENSOR_CORE, fe::NumericalNote_t::DOWN_CONVERT_INPUTS});
  check(graph.check_support(handle), what);
  const auto works = [&](int64_t index) { return graph.build_plan_at_index(index).is_good(); };
  const int64_t count = graph.get_execution_plan_count();
  while (plan.chosen < count && !works(plan.chosen)) ++plan.chosen;
  if (plan.chosen == count) fail("cuDNN, {}: none of its {} plans works", what, count);
  check(graph.get_workspace_size_plan_at_index(plan.chosen, plan.workspace), what);
  return plan;
}

std::optional<int64_t> CudnnConvolutions::State::workspace_at(fe::graph::Graph& graph, int64_t index) {
  int64_t bytes = 0;
  if (graph.build_plan_at_index(index).is_bad() ||
      graph.get_workspace_size_plan_at_index(index, bytes).is_bad())
    return {};
  return bytes;
}

bool CudnnConvolutions::State::choose_smaller(Plan& plan) {
  for (int64_t index = 0; index < plan.graph->get_execution_plan_count(); ++index) {
    const auto bytes = workspace_at(*plan.graph, index);
    if (!bytes || *bytes >= plan.workspace) continue;
    plan.chosen = index;
    plan.workspace = *bytes;
    return true;
  }
  return false;
}

Tensor CudnnConvolutions::State::workspace_of(Plan& plan) const {
  for (;;) {
    try {
      return Tensor::empty({plan.workspace}, DType::u8, Device::cuda);
    } catch (const std::runtime_error&) {  // there is no such memory
      if (!choose_smaller(plan)) throw;
    }
  }
}

double CudnnConvolutions::State::measured_milliseconds(const Plan& plan, int64_t index, Pack& pack) const {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  fe::graph::Graph& graph = *plan.graph;
  const auto bytes = workspace_at(graph, index);
  if (!bytes) return kNever;
  Tensor workspace;
  try {
    workspace = Tensor::empty({*bytes}, DType::u8, Device::cuda);
  } catch (const std::runtime_error&) {
    return kNever;
  }
  double best = kNever;
  const auto execute = [&] {
    return graph.execute_plan_at_index(handle, pack, workspace.raw(), index).is_good();
  };
  for (int i = 0; i < kMeasurements; ++i) {
    device::Event start(true), end(true);
    if (!execute()) return kNever;  // which the GPU is at while the host queues the next
    start.record(stream);
    if (!execute()) return kNever;
    end.record(stream);
    end.wait();
    best = std::min(best, end.milliseconds_since(start));
  }
  return best;
}

void CudnnConvolutions::State::autotune(Plan& plan, Pack& pack, const std::string& what) const {
  double best = measured_milliseconds(plan, plan.chosen, pack);
  const int64_t end = std::min(plan.graph->get_execution_plan_count(), plan.chosen + kMeasured);
  for (int64_t index = plan.chosen + 1; index < end; ++index) {
    const double now = measured_milliseconds(plan, index, pack);
    if (now >= best) continue;
    best = now;
    plan.chosen = index;
  }
  check(plan.graph->get_workspace_size_plan_at_index(plan.chosen, plan.workspace), what);
}

void CudnnConvolutions::State::run(Direction direction, const Arguments& a) {
  const std::lock_guard lock(mutex);
  const Key key = key_of(direction, a);
  auto found = plans.find(key);
  const bool is_new = found == plans.end();
  if (is_new) found = plans.emplace(key, build(direction, a)).first;
  Plan& plan = found->second;
  const auto address = [](const Tensor& t) {
    return const_cast<void*>(t.raw());
  };  // cuDNN's pack has no const
  Pack pack{{plan.x, address(a.x)}, {plan.w, address(a.w)}, {plan.y, address(a.y)}};
  if (is_new && options.autotune && measuring) autotune(plan, pack, describe(direction, a));
  Tensor workspace = workspace_of(plan);  // ours until the stream has passed
  const fe::error_t status = plan.graph->execute_plan_at_index(handle, pack, workspace.raw(), plan.chosen);
  if (status.is_bad()) check(status, describe(direction, a));
}

CudnnConvolutions::CudnnConvolutions(device::Stream stream) : state_(std::make_unique<State>()) {
  state_->stream = stream;
  check(cudnnCreate(&state_->handle), "cudnnCreate");
  check(cudnnSetStream(state_->handle, stream), "cudnnSetStream");
}

CudnnConvolutions::~CudnnConvolutions() { (void)cudnnDestroy(state_->handle); }

void CudnnConvolutions::set_options(const DeviceOptions& options) {
  const std::lock_guard lock(state_->mutex);
  if (options.deterministic != state_->options.deterministic || options.autotune != state_->options.autotune)
    state_->plans.clear();
  state_->options = options;
}

void CudnnConvolutions::set_measuring(bool measuring) {
  const std::lock_guard lock(state_->mutex);
  state_->measuring = measuring;
}

void CudnnConvolutions::forward(const Arguments& arguments) { state_->run(Direction::forward, arguments); }
void CudnnConvolutions::backward_input(const Arguments& arguments) {
  state_->run(Direction::backward_input, arguments);
}
void CudnnConvolutions::backward_weight(const Arguments& arguments) {
  state_->run(Direction::backward_weight, arguments);
}

}  // namespace cytograd
