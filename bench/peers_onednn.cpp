#include "bench/peers_onednn.h"

#include <memory>
#include <unordered_map>
#include <utility>

#include "bench/harness.h"
#include "engine/onednn_api.h"

namespace cytograd::bench {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using onednn::describe;
using onednn::describe_backward;
using onednn::since_3;
using tag = memory::format_tag;

struct Session {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

Session& session() {
  static Session one;
  return one;
}

memory::data_type type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return memory::data_type::f32;
    case DType::bf16:
      return memory::data_type::bf16;
    default:
      return memory::data_type::undef;
  }
}

memory::dims dims_of(const Shape& shape) { return {shape.dims().begin(), shape.dims().end()}; }

memory::desc flat(const Shape& shape, DType dtype) { return {{shape.elements()}, type_of(dtype), tag::a}; }

/// [N, H, W, C], whose extents oneDNN names N, C, H, W.
memory::desc image(const Shape& x, DType dtype, tag layout = tag::nhwc) {
  return {{x[0], x[3], x[1], x[2]}, type_of(dtype), layout};
}

memory::data_type data_type_of(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_data_type();
#else
  return desc.data_type();
#endif
}

struct ReluDescriptors {
  dnnl::eltwise_forward::primitive_desc forward;
  dnnl::eltwise_backward::primitive_desc backward;  ///< from y, as the engine's
};

ReluDescriptors describe_relu(const memory::desc& md) {
  constexpr auto kHow = algorithm::eltwise_relu_use_dst_for_bwd;
  const auto forward = describe<dnnl::eltwise_forward>(session().engine, {}, prop_kind::forward_training,
                                                       kHow, md, since_3(md), 0.0f);
  return {forward, describe_backward<dnnl::eltwise_backward>(session().engine, {}, forward, kHow, since_3(md),
                                                             md, md, 0.0f)};
}

/// ReLU after another op.
dnnl::primitive_attr then_relu() {
  dnnl::post_ops then;
#if DNNL_VERSION_MAJOR >= 3
  then.append_eltwise(algorithm::eltwise_relu, 0.0f, 0.0f);
#else
  then.append_eltwise(1.0f, algorithm::eltwise_relu, 0.0f, 0.0f);
#endif
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(then);
  return attributes;
}

/// Memory with drawn contents: zeros run faster.
memory filled(const memory::desc& desc) {
  memory result(desc, session().engine);
  const auto bytes = static_cast<int64_t>(desc.get_size());
  const memory::data_type type = data_type_of(desc);
  if (type == memory::data_type::f32) {
    const Tensor x = random_tensor({bytes / 4}, DType::f32, Device::cpu);
    std::copy_n(x.data<float>(), bytes / 4, static_cast<float*>(result.get_data_handle()));
  } else if (type == memory::data_type::bf16) {
    const Tensor x = random_tensor({bytes / 2}, DType::bf16, Device::cpu);
    std::copy_n(static_cast<const uint8_t*>(x.raw()), bytes, static_cast<uint8_t*>(result.get_data_handle()));
  }
  return result;
}

memory room(const memory::desc& desc) { return {desc, session().engine}; }

/// A primitive with all that it works on.
struct Bound {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;

  void operator()() const {
    primitive.execute(session().stream, arguments);
    session().stream.wait();
  }
};

/// Empty where oneDNN has none.
template <typename Make>
auto or_none(const Make& make) -> decltype(make()) {
  try {
    return make();
  } catch (const dnnl::error&) {
    return {};
  }
}

Call sequence(std::vector<Bound> steps) {
  return [steps = std::move(steps)] {
    for (const Bound& step : steps) step();
  };
}

}  // namespace

Call onednn_add(const Shape& shape, DType dtype) {
  return or_none([&]() -> Call {
    const memory::desc md = flat(shape, dtype);
    const auto pd = describe<dnnl::binary>(session().engine, {}, algorithm::binary_add, md, md, md);
    return Bound{dnnl::binary(pd),
                 {{DNNL_ARG_SRC_0, filled(md)}, {DNNL_ARG_SRC_1, filled(md)}, {DNNL_ARG_DST, room(md)}}};
  });
}

Passes onednn_relu(const Shape& shape, DType dtype) {
  return or_none([&]() -> Passes {
    const memory::desc md = flat(shape, dtype);
    const auto [forward, backward] = describe_relu(md);
    const memory y = filled(md);
    return {Bound{dnnl::eltwise_forward(forward), {{DNNL_ARG_SRC, filled(md)}, {DNNL_ARG_DST, y}}},
            Bound{dnnl::eltwise_backward(backward),
                  {{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, filled(md)}, {DNNL_ARG_DIFF_SRC, room(md)}}}};
  });
}

Call onednn_cast(const Shape& shape, DType from, DType to) {
  return or_none([&]() -> Call {
    const memory::desc source = flat(shape, from), destination = flat(shape, to);
    const dnnl::reorder::primitive_desc pd(session().engine, source, session().engine, destination);
    return Bound{dnnl::reorder(pd), {{DNNL_ARG_FROM, filled(source)}, {DNNL_ARG_TO, room(destination)}}};
  });
}

Call onednn_softmax(const Shape& shape) {
  return or_none([&]() -> Call {
    const memory::desc md(dims_of(shape), memory::data_type::f32, tag::ab);
    const auto pd = describe<dnnl::softmax_forward>(session().engine, {}, prop_kind::forward_inference,
                                                    since_3(algorithm::softmax_accurate), md, since_3(md), 1);
    return Bound{dnnl::softmax_forward(pd), {{DNNL_ARG_SRC, filled(md)}, {DNNL_ARG_DST, room(md)}}};
  });
}

Passes onednn_batchnorm_act(const Shape& x, DType dtype, bool residual) {
  return or_none([&]() -> Passes {
    using dnnl::normalization_flags;
    auto flags = normalization_flags::use_scale | normalization_flags::use_shift;
    if (!residual) flags = flags | normalization_flags::fuse_norm_relu;
    const memory::desc md = image(x, dtype);
    constexpr float kEpsilon = 1e-5f;
    const auto forward = describe<dnnl::batch_normalization_forward>(
        session().engine, {}, prop_kind::forward_training, md, since_3(md), kEpsilon, flags);
    const auto backward = describe_backward<dnnl::batch_normalization_backward>(
        session().engine, {}, forward, prop_kind::backward, md, md, since_3(md), kEpsilon, flags);
    const memory::desc channels({x[3]}, memory::data_type::f32, tag::a);
    const memory source = filled(md), y = room(md), mean = room(channels), variance = room(channels);
    const memory gamma = filled(channels), beta = filled(channels), dy = filled(md);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, source},  {DNNL_ARG_DST, y},
                                              {DNNL_ARG_MEAN, mean},   {DNNL_ARG_VARIANCE, variance},
                                              {DNNL_ARG_SCALE, gamma}, {DNNL_ARG_SHIFT, beta}};
    std::unordered_map<int, memory> gradients{{DNNL_ARG_SRC, source},
                                              {DNNL_ARG_MEAN, mean},
                                              {DNNL_ARG_VARIANCE, variance},
                                              {DNNL_ARG_SCALE, gamma},
                                              {DNNL_ARG_DIFF_DST, dy},
                                              {DNNL_ARG_DIFF_SRC, room(md)},
                                              {DNNL_ARG_DIFF_SCALE, room(channels)},
                                              {DNNL_ARG_DIFF_SHIFT, room(channels)}};
#if DNNL_VERSION_MAJOR < 3
    gradients.emplace(DNNL_ARG_SHIFT, beta);  // version 3 refuses it
#endif
    if (!residual) {
      const memory workspace = room(forward.workspace_desc());
      arguments.emplace(DNNL_ARG_WORKSPACE, workspace);
      gradients.emplace(DNNL_ARG_WORKSPACE, workspace);
    }
    std::vector<Bound> forwards{{dnnl::batch_normalization_forward(forward), arguments}};
    std::vector<Bound> backwards;
    if (residual) {
      const auto add =
          describe<dnnl::binary>(session().engine, then_relu(), algorithm::binary_add, md, md, md);
      forwards.push_back(
          {dnnl::binary(add), {{DNNL_ARG_SRC_0, y}, {DNNL_ARG_SRC_1, filled(md)}, {DNNL_ARG_DST, y}}});
      const memory masked = room(md);
      backwards.push_back({dnnl::eltwise_backward(describe_relu(md).backward),
                           {{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, masked}}});
      gradients[DNNL_ARG_DIFF_DST] = masked;
    }
    backwards.push_back({dnnl::batch_normalization_backward(backward), gradients});
    const Passes passes{sequence(std::move(forwards)), sequence(std::move(backwards))};
    passes.forward();  // backward reads what it leaves
    return passes;
  });
}

namespace {

Passes pooling(const Shape& x, const Shape& y, DType dtype, algorithm how, const MaxPool2dOptions& window) {
  return or_none([&]() -> Passes {
    const memory::desc from = image(x, dtype), to = image(y, dtype);
    const memory::dims stride{window.stride, window.stride}, padding{window.padding, window.padding};
    const memory::dims extent =
        how == algorithm::pooling_max ? memory::dims{window.window, window.window} : memory::dims{x[1], x[2]};
    const memory::dims dense{0, 0};
    const auto forward =
        describe<dnnl::pooling_forward>(session().engine, {}, prop_kind::forward_training, how, from, to,
                                        stride, extent, since_3(dense), padding, padding);
    const auto backward = describe_backward<dnnl::pooling_backward>(
        session().engine, {}, forward, how, from, to, stride, extent, since_3(dense), padding, padding);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, filled(from)}, {DNNL_ARG_DST, room(to)}};
    std::unordered_map<int, memory> gradients{{DNNL_ARG_DIFF_DST, filled(to)},
                                              {DNNL_ARG_DIFF_SRC, room(from)}};
    if (how == algorithm::pooling_max) {
      const memory workspace = room(forward.workspace_desc());
      arguments.emplace(DNNL_ARG_WORKSPACE, workspace);
      gradients.emplace(DNNL_ARG_WORKSPACE, workspace);
    }
    const Passes passes{Bound{dnnl::pooling_forward(forward), arguments},
                        Bound{dnnl::pooling_backward(backward), gradients}};
    passes.forward();
    return passes;
  });
}

}  // namespace

Passes onednn_max_pool2d(const Shape& x, DType dtype, const MaxPool2dOptions& options) {
  const Shape y = options.output_shape(x);
  return pooling(x, y, dtype, algorithm::pooling_max, options);
}

Passes onednn_global_avg_pool(const Shape& x, DType dtype) {
  return pooling(x, {x[0], 1, 1, x[3]}, dtype, algorithm::pooling_avg_exclude_padding,
                 {.window = 1, .stride = 1, .padding = 0});
}

namespace {

/// The passes of an op with weights, on memory as each primitive likes it. `more`: what forward takes besides.
template <typename Forward, typename Input, typename Weight>
DensePasses dense_passes(const typename Forward::primitive_desc& forward,
                         const typename Input::primitive_desc& input,
                         const typename Weight::primitive_desc& weight,
                         std::unordered_map<int, memory> more) {
  more.insert({{DNNL_ARG_SRC, filled(forward.src_desc())},
               {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
               {DNNL_ARG_DST, room(forward.dst_desc())}});
  return {Bound{Forward(forward), std::move(more)},
          Bound{Input(input),
                {{DNNL_ARG_DIFF_DST, filled(input.diff_dst_desc())},
                 {DNNL_ARG_WEIGHTS, filled(input.weights_desc())},
                 {DNNL_ARG_DIFF_SRC, room(input.diff_src_desc())}}},
          Bound{Weight(weight),
                {{DNNL_ARG_DIFF_DST, filled(weight.diff_dst_desc())},
                 {DNNL_ARG_SRC, filled(weight.src_desc())},
                 {DNNL_ARG_DIFF_WEIGHTS, room(weight.diff_weights_desc())}}}};
}

}  // namespace

DensePasses onednn_conv2d(const Shape& x, const Shape& w, DType dtype, const Conv2dOptions& options) {
  return or_none([&]() -> DensePasses {
    const Shape y = options.output_shape(x, w);
    const memory::desc from = image(x, dtype, tag::any), to = image(y, dtype, tag::any);
    const memory::desc weights({w[0], w[3], w[1], w[2]}, type_of(dtype), tag::any);
    const memory::dims stride{options.stride, options.stride}, padding{options.padding, options.padding};
    const auto how = algorithm::convolution_auto;
    const dnnl::engine& engine = session().engine;
    using Forward = dnnl::convolution_forward;
    using Input = dnnl::convolution_backward_data;
    using Weight = dnnl::convolution_backward_weights;
    const auto forward = describe<Forward>(engine, {}, prop_kind::forward_training, how, from, weights, to,
                                           stride, padding, padding);
    return dense_passes<Forward, Input, Weight>(
        forward,
        describe_backward<Input>(engine, {}, forward, how, from, weights, to, stride, padding, padding),
        describe_backward<Weight>(engine, {}, forward, how, from, weights, to, stride, padding, padding), {});
  });
}

DensePasses onednn_linear(const Shape& x, const Shape& w, DType dtype) {
  return or_none([&]() -> DensePasses {
    const memory::desc from(dims_of(x), type_of(dtype), tag::any);
    const memory::desc weights(dims_of(w), type_of(dtype), tag::any);
    const memory::desc bias({w[0]}, memory::data_type::f32, tag::a);
    const memory::desc to({x[0], w[0]}, type_of(dtype), tag::any);
    const dnnl::engine& engine = session().engine;
    using Forward = dnnl::inner_product_forward;
    using Input = dnnl::inner_product_backward_data;
    using Weight = dnnl::inner_product_backward_weights;
    const auto forward = describe<Forward>(engine, {}, prop_kind::forward_training, from, weights, bias, to);
    return dense_passes<Forward, Input, Weight>(
        forward, describe_backward<Input>(engine, {}, forward, from, weights, to),
        describe_backward<Weight>(engine, {}, forward, from, weights, to), {{DNNL_ARG_BIAS, filled(bias)}});
  });
}

}  // namespace cytograd::bench
