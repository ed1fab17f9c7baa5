#include "engine/onednn.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/constant_weights.h"
#include "engine/onednn_api.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

using dnnl::memory;
using tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

bool uses(dnnl::cpu_isa needed) {
  const auto bits = static_cast<unsigned>(needed);  // bit sets, each of all that it builds on
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

memory::data_type onednn_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return memory::data_type::f32;
    case DType::bf16:
      return memory::data_type::bf16;
    default:
      fail("the CPU computes no matrix products in {}; use bf16 or f32", dtype_name(dtype));
  }
}

// Images [N, H, W, C]; oneDNN names extents in the order N, C, H, W whatever the layout.
memory::desc image_desc(const Shape& x, DType dtype) {
  return {{x[0], x[3], x[1], x[2]}, onednn_type(dtype), tag::nhwc};
}

// Weights [O, KH, KW, I], likewise O, I, KH, KW; `any` leaves the layout to oneDNN.
memory::desc weight_desc(const Shape& w, DType dtype, tag layout) {
  return {{w[0], w[3], w[1], w[2]}, onednn_type(dtype), layout};
}

memory::desc matrix_desc(const Tensor& x, bool transposed, DType dtype) {
  const int64_t rows = x.dim(0);
  const int64_t columns = x.dim(1);
  if (transposed) return {{columns, rows}, onednn_type(dtype), tag::ba};
  return {{rows, columns}, onednn_type(dtype), tag::ab};
}

// Scratch memory is the caller's, so that it comes from the pool.
dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Tensor raw_buffer(size_t bytes) { return Tensor::empty({static_cast<int64_t>(bytes)}, DType::u8); }

// oneDNN takes inputs through the same handle type as outputs.
void* address(const Tensor& x) { return const_cast<void*>(x.raw()); }

}  // namespace

struct OnednnPlans::Plan {
  dnnl::primitive primitive;
  memory::desc scratchpad;
  // The operands as the primitive takes them; b holds weights, in the layout of its choice.
  memory::desc a;
  memory::desc b;
  memory::desc c;
  memory::desc bias;
  // The weights as the caller holds them, and the primitive that brings one to the other; none where equal.
  memory::desc plain;
  std::optional<dnnl::reorder> reorder;
  memory::desc reorder_scratchpad;
  WeightForm form{};  // of b

  void set_reorder(const memory::desc& from, const memory::desc& to, const dnnl::engine& engine) {
    if (from == to) return;
    const dnnl::reorder::primitive_desc pd(engine, from, engine, to, user_scratchpad());
    reorder.emplace(pd);
    reorder_scratchpad = pd.scratchpad_desc();
  }
};

struct OnednnPlans::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::mutex mutex;
  std::map<Key, Plan> plans;          // nodes stay where they are: a Plan& outlives later insertions
  std::vector<memory::desc> layouts;  // of weights: plans for batches of other sizes often have the same

  WeightForm form_of(const memory::desc& layout) {
    auto found = std::find(layouts.begin(), layouts.end(), layout);
    if (found == layouts.end()) found = layouts.insert(found, layout);
    return WeightForm{static_cast<int64_t>(WeightForm::onednn) + (found - layouts.begin())};
  }

  // `name` says what the plan does, for the error where there is none.
  template <typename Name, typename Make>
  const Plan& find_or_make(const Key& key, const Name& name, const Make& make) {
    use_promised_threads();  // plans are divided among them when they are made
    const std::lock_guard lock(mutex);
    const auto found = plans.find(key);
    if (found != plans.end()) return found->second;
    try {
      Plan plan = make();
      plan.form = form_of(plan.b);
      return plans.emplace(key, std::move(plan)).first->second;
    } catch (const dnnl::error& error) {
      fail("oneDNN cannot compute {}: {}", name(), error.what());
    }
  }

  memory at(const memory::desc& desc, void* pointer) const { return {desc, engine, pointer}; }

  void execute(const dnnl::primitive& primitive, Arguments arguments, const memory::desc& scratchpad) {
    const Tensor scratch = raw_buffer(scratchpad.get_size());
    arguments.emplace(DNNL_ARG_SCRATCHPAD, at(scratchpad, address(scratch)));
    primitive.execute(stream, arguments);
    stream.wait();
  }

  // Weights in the layout and type that the plan takes.
  Tensor arranged(const Plan& plan, const Tensor& w) {
    if (!plan.reorder) return w;
    return ConstantWeights::made_of(w, plan.form, [&] {
      const Tensor copy = raw_buffer(plan.b.get_size());
      const Arguments arguments{{DNNL_ARG_FROM, at(plan.plain, address(w))},
                                {DNNL_ARG_TO, at(plan.b, address(copy))}};
      execute(*plan.reorder, arguments, plan.reorder_scratchpad);
      return copy;
    });
  }
};

OnednnPlans::OnednnPlans() : state_(std::make_unique<State>()) {}
OnednnPlans::~OnednnPlans() = default;

bool OnednnPlans::computes(DType dtype) {
  return dtype == DType::f32 || (dtype == DType::bf16 && uses(dnnl::cpu_isa::avx512_core));
}

bool OnednnPlans::multiplies_bf16() { return uses(dnnl::cpu_isa::avx512_core_bf16); }

bool OnednnPlans::computes_weight_gradient(const Tensor& x, const Shape& w, const Conv2dOptions& options) {
  constexpr int64_t kMostLanes = 16;
  if (w[1] * w[2] == 1 && options.stride > 1 && w[3] < kMostLanes) return false;
  if (x.dtype() != DType::bf16) return true;
  const auto all_taps_meet = [&](int64_t extent, int64_t window) {
    const int64_t last = (options.output_extent(extent, window) - 1) * options.stride - options.padding;
    for (int64_t tap = 0; tap < window; ++tap) {
      int64_t at = tap - options.padding;  // of the first window
      while (at < 0 && at < last + tap) at += options.stride;
      if (at < 0 || at >= extent) return false;
    }
    return true;
  };
  return all_taps_meet(x.dim(1), w[1]) && all_taps_meet(x.dim(2), w[2]);
}

OnednnPlans::Key OnednnPlans::convolution_key(Op op, const Shape& x, DType x_type, const Tensor& w,
                                              const Conv2dOptions& options) {
  return {static_cast<int64_t>(op),
          static_cast<int64_t>(x_type),
          static_cast<int64_t>(w.dtype()),
          x[0],
          x[1],
          x[2],
          x[3],
          w.dim(0),
          w.dim(1),
          w.dim(2),
          options.stride,
          options.padding};
}

const OnednnPlans::Plan& OnednnPlans::convolution_plan(Op op, const Shape& x, DType x_type, const Tensor& w,
                                                       const Conv2dOptions& options) {
  const auto name = [&] {
    return fmt::format("the convolution (operation {}) of x {} {} with w {} {}, stride {}, padding {}",
                       static_cast<int>(op), dtype_name(x_type), x, dtype_name(w.dtype()), w.shape(),
                       options.stride, options.padding);
  };
  return state_->find_or_make(convolution_key(op, x, x_type, w, options), name, [&] {
    const dnnl::engine& engine = state_->engine;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const memory::dims stride{options.stride, options.stride};
    const memory::dims padding{options.padding, options.padding};
    const memory::desc x_desc = image_desc(x, x_type);
    const memory::desc y_desc = image_desc(options.output_shape(x, w.shape()), x_type);
    // dw sums over the batch, so it leaves the primitive in f32 whatever it is stored in.
    const DType w_type = op == Op::conv2d_backward_weight ? DType::f32 : x_type;
    const memory::desc w_any = weight_desc(w.shape(), w_type, tag::any);
    const auto forward = onednn::describe<dnnl::convolution_forward>(
        engine, user_scratchpad(), dnnl::prop_kind::forward_training, algorithm, x_desc,
        weight_desc(w.shape(), x_type, tag::any), y_desc, stride, padding, padding);
    Plan plan;
    plan.a = x_desc;
    plan.c = y_desc;
    plan.plain = weight_desc(w.shape(), w.dtype(), tag::acdb);
    if (op == Op::conv2d) {
      plan.b = forward.weights_desc();
      plan.primitive = dnnl::convolution_forward(forward);
      plan.scratchpad = forward.scratchpad_desc();
    } else if (op == Op::conv2d_backward_input) {
      const auto pd = onednn::describe_backward<dnnl::convolution_backward_data>(
          engine, user_scratchpad(), forward, algorithm, x_desc, w_any, y_desc, stride, padding, padding);
      plan.b = pd.weights_desc();
      plan.primitive = dnnl::convolution_backward_data(pd);
      plan.scratchpad = pd.scratchpad_desc();
    } else {
      const auto pd = onednn::describe_backward<dnnl::convolution_backward_weights>(
          engine, user_scratchpad(), forward, algorithm, x_desc, w_any, y_desc, stride, padding, padding);
      plan.b = pd.diff_weights_desc();
      plan.primitive = dnnl::convolution_backward_weights(pd);
      plan.scratchpad = pd.scratchpad_desc();
    }
    if (op == Op::conv2d_backward_weight) {
      plan.set_reorder(plan.b, plan.plain, engine);
    } else {
      plan.set_reorder(plan.plain, plan.b, engine);
    }
    return plan;
  });
}

Tensor OnednnPlans::conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const Plan& plan = convolution_plan(Op::conv2d, x.shape(), x.dtype(), w, options);
  const Tensor arranged = state_->arranged(plan, w);
  Tensor y = Tensor::empty(options.output_shape(x.shape(), w.shape()), x.dtype());  // [N, H', W', O]
  state_->execute(plan.primitive,
                  {{DNNL_ARG_SRC, state_->at(plan.a, address(x))},
                   {DNNL_ARG_WEIGHTS, state_->at(plan.b, address(arranged))},
                   {DNNL_ARG_DST, state_->at(plan.c, y.raw())}},
                  plan.scratchpad);
  return y;
}

Tensor OnednnPlans::conv2d_backward_input(const Tensor& dy, const Tensor& w, const Shape& x_shape,
                                          const Conv2dOptions& options) {
  const Plan& plan = convolution_plan(Op::conv2d_backward_input, x_shape, dy.dtype(), w, options);
  const Tensor arranged = state_->arranged(plan, w);
  Tensor dx = Tensor::empty(x_shape, dy.dtype());  // [N, H, W, I]
  state_->execute(plan.primitive,
                  {{DNNL_ARG_DIFF_DST, state_->at(plan.c, address(dy))},
                   {DNNL_ARG_WEIGHTS, state_->at(plan.b, address(arranged))},
                   {DNNL_ARG_DIFF_SRC, state_->at(plan.a, dx.raw())}},
                  plan.scratchpad);
  return dx;
}

Tensor OnednnPlans::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& w,
                                           const Conv2dOptions& options) {
  const Plan& plan = convolution_plan(Op::conv2d_backward_weight, x.shape(), x.dtype(), w, options);
  Tensor dw = Tensor::empty(w.shape(), w.dtype());  // [O, KH, KW, I]
  const Tensor result = plan.reorder ? raw_buffer(plan.b.get_size()) : dw;
  state_->execute(plan.primitive,
                  {{DNNL_ARG_DIFF_DST, state_->at(plan.c, address(dy))},
                   {DNNL_ARG_SRC, state_->at(plan.a, address(x))},
                   {DNNL_ARG_DIFF_WEIGHTS, state_->at(plan.b, address(result))}},
                  plan.scratchpad);
  if (plan.reorder) {
    state_->execute(*plan.reorder,
                    {{DNNL_ARG_FROM, state_->at(plan.b, address(result))},
                     {DNNL_ARG_TO, state_->at(plan.plain, dw.raw())}},
                    plan.reorder_scratchpad);
  }
  return dw;
}

const OnednnPlans::Plan& OnednnPlans::matmul_plan(const MatmulArguments& arguments) {
  const Tensor& a = arguments.a;
  const Tensor& b = arguments.b;
  const bool has_bias = arguments.bias.defined();
  const Key key{static_cast<int64_t>(Op::matmul),
                static_cast<int64_t>(a.dtype()),
                static_cast<int64_t>(b.dtype()),
                static_cast<int64_t>(arguments.result),
                a.dim(0),
                a.dim(1),
                arguments.transpose_a,
                b.dim(0),
                b.dim(1),
                arguments.transpose_b,
                has_bias};
  const auto name = [&] {
    return fmt::format("the matrix product of a {} {} and b {} {}", dtype_name(a.dtype()), a.shape(),
                       dtype_name(b.dtype()), b.shape());
  };
  return state_->find_or_make(key, name, [&] {
    Plan plan;
    plan.a = matrix_desc(a, arguments.transpose_a, a.dtype());
    plan.b = matrix_desc(b, arguments.transpose_b, a.dtype());
    plan.plain = matrix_desc(b, arguments.transpose_b, b.dtype());
    const Shape c = arguments.result_shape();
    plan.c = {{c[0], c[1]}, onednn_type(arguments.result), tag::ab};
    if (has_bias) plan.bias = {{1, c[1]}, memory::data_type::f32, tag::ab};
    const dnnl::engine& engine = state_->engine;
    const auto pd =
        has_bias
            ? onednn::describe<dnnl::matmul>(engine, user_scratchpad(), plan.a, plan.b, plan.bias, plan.c)
            : onednn::describe<dnnl::matmul>(engine, user_scratchpad(), plan.a, plan.b, plan.c);
    plan.primitive = dnnl::matmul(pd);
    plan.scratchpad = pd.scratchpad_desc();
    plan.set_reorder(plan.plain, plan.b, engine);
    return plan;
  });
}

Tensor OnednnPlans::matmul(const MatmulArguments& arguments) {
  const Plan& plan = matmul_plan(arguments);
  const Tensor b = state_->arranged(plan, arguments.b);
  Tensor c = Tensor::empty(arguments.result_shape(), arguments.result);  // [M, N]
  Arguments operands{{DNNL_ARG_SRC, state_->at(plan.a, address(arguments.a))},
                     {DNNL_ARG_WEIGHTS, state_->at(plan.b, address(b))},
                     {DNNL_ARG_DST, state_->at(plan.c, c.raw())}};
  if (arguments.bias.defined())
    operands.emplace(DNNL_ARG_BIAS, state_->at(plan.bias, address(arguments.bias)));
  state_->execute(plan.primitive, std::move(operands), plan.scratchpad);
  return c;
}

bool sgemm(const SgemmArguments& arguments) noexcept {
  const auto& [m, n, k, a, a_stride, transpose_a, b, b_stride, transpose_b, c, c_stride, accumulate] =
      arguments;
  use_promised_threads();
  return dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a, a_stride, b, b_stride,
                    accumulate ? 1.0f : 0.0f, c, c_stride) == dnnl_success;
}

}  // namespace cytograd
