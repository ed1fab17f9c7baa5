#include "bench/peers_onednn.h"

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>

#include "bench/harness.h"

namespace cytograd::bench {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
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

/// Memory with drawn contents: zeros run faster.
memory filled(const memory::desc& desc) {
  memory result(desc, session().engine);
  const auto bytes = static_cast<int64_t>(desc.get_size());
  if (desc.data_type() == memory::data_type::f32) {
    const Tensor x = random_tensor({bytes / 4}, DType::f32, Device::cpu);
    std::copy_n(x.data<float>(), bytes / 4, static_cast<float*>(result.get_data_handle()));
  } else if (desc.data_type() == memory::data_type::bf16) {
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
    const dnnl::binary::primitive_desc pd({algorithm::binary_add, md, md, md}, session().engine);
    return Bound{dnnl::binary(pd),
                 {{DNNL_ARG_SRC_0, filled(md)}, {DNNL_ARG_SRC_1, filled(md)}, {DNNL_ARG_DST, room(md)}}};
  });
}

Passes onednn_relu(const Shape& shape, DType dtype) {
  return or_none([&]() -> Passes {
    const memory::desc md = flat(shape, dtype);
    const dnnl::eltwise_forward::primitive_desc forward(
        {prop_kind::forward_training, algorithm::eltwise_relu_use_dst_for_bwd, md, 0.0f}, session().engine);
    const dnnl::eltwise_backward::primitive_desc backward(
        {algorithm::eltwise_relu_use_dst_for_bwd, md, md, 0.0f}, session().engine, forward);
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
    const dnnl::softmax_forward::primitive_desc pd({prop_kind::forward_inference, md, 1}, session().engine);
    return Bound{dnnl::softmax_forward(pd), {{DNNL_ARG_SRC, filled(md)}, {DNNL_ARG_DST, room(md)}}};
  });
}

Passes onednn_batchnorm_act(const Shape& x, DType dtype, bool residual) {
  return or_none([&]() -> Passes {
    using dnnl::normalization_flags;
    auto flags = normalization_flags::use_scale_shift;
    if (!residual) flags = flags | normalization_flags::fuse_norm_relu;
    const memory::desc md = image(x, dtype);
    const dnnl::batch_normalization_forward::primitive_desc forward(
        {prop_kind::forward_training, md, 1e-5f, flags}, session().engine);
    const dnnl::batch_normalization_backward::primitive_desc backward(
        {prop_kind::backward, md, md, 1e-5f, flags}, session().engine, forward);
    const memory::desc channels({x[3]}, memory::data_type::f32, tag::a);
    const memory::desc affine({2, x[3]}, memory::data_type::f32, tag::nc);
    const memory source = filled(md), y = room(md), mean = room(channels), variance = room(channels);
    const memory gamma_beta = filled(affine), dy = filled(md);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, source},
                                              {DNNL_ARG_DST, y},
                                              {DNNL_ARG_MEAN, mean},
                                              {DNNL_ARG_VARIANCE, variance},
                                              {DNNL_ARG_SCALE_SHIFT, gamma_beta}};
    std::unordered_map<int, memory> gradients{{DNNL_ARG_SRC, source},
                                              {DNNL_ARG_MEAN, mean},
                                              {DNNL_ARG_VARIANCE, variance},
                                              {DNNL_ARG_SCALE_SHIFT, gamma_beta},
                                              {DNNL_ARG_DIFF_DST, dy},
                                              {DNNL_ARG_DIFF_SRC, room(md)},
                                              {DNNL_ARG_DIFF_SCALE_SHIFT, room(affine)}};
    if (!residual) {
      const memory workspace = room(forward.workspace_desc());
      arguments.emplace(DNNL_ARG_WORKSPACE, workspace);
      gradients.emplace(DNNL_ARG_WORKSPACE, workspace);
    }
    std::vector<Bound> forwards{{dnnl::batch_normalization_forward(forward), arguments}};
    std::vector<Bound> backwards;
    if (residual) {
      dnnl::post_ops then;
      then.append_eltwise(1.0f, algorithm::eltwise_relu, 0.0f, 0.0f);
      dnnl::primitive_attr attributes;
      attributes.set_post_ops(then);
      const dnnl::binary::primitive_desc add({algorithm::binary_add, md, md, md}, attributes,
                                             session().engine);
      forwards.push_back(
          {dnnl::binary(add), {{DNNL_ARG_SRC_0, y}, {DNNL_ARG_SRC_1, filled(md)}, {DNNL_ARG_DST, y}}});
      const dnnl::eltwise_forward::primitive_desc hint(
          {prop_kind::forward_training, algorithm::eltwise_relu_use_dst_for_bwd, md, 0.0f}, session().engine);
      const dnnl::eltwise_backward::primitive_desc pd({algorithm::eltwise_relu_use_dst_for_bwd, md, md, 0.0f},
                                                      session().engine, hint);
      const memory masked = room(md);
      backwards.push_back({dnnl::eltwise_backward(pd),
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
    const dnnl::pooling_forward::primitive_desc forward(
        {prop_kind::forward_training, how, from, to, stride, extent, padding, padding}, session().engine);
    const dnnl::pooling_backward::primitive_desc backward({how, from, to, stride, extent, padding, padding},
                                                          session().engine, forward);
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
    const dnnl::convolution_forward::primitive_desc forward(
        {prop_kind::forward_training, how, from, weights, to, stride, padding, padding}, session().engine);
    return dense_passes<dnnl::convolution_forward, dnnl::convolution_backward_data,
                        dnnl::convolution_backward_weights>(
        forward, {{how, from, weights, to, stride, padding, padding}, session().engine, forward},
        {{how, from, weights, to, stride, padding, padding}, session().engine, forward}, {});
  });
}

DensePasses onednn_linear(const Shape& x, const Shape& w, DType dtype) {
  return or_none([&]() -> DensePasses {
    const memory::desc from(dims_of(x), type_of(dtype), tag::any);
    const memory::desc weights(dims_of(w), type_of(dtype), tag::any);
    const memory::desc bias({w[0]}, memory::data_type::f32, tag::a);
    const memory::desc to({x[0], w[0]}, type_of(dtype), tag::any);
    const dnnl::inner_product_forward::primitive_desc forward(
        {prop_kind::forward_training, from, weights, bias, to}, session().engine);
    return dense_passes<dnnl::inner_product_forward, dnnl::inner_product_backward_data,
                        dnnl::inner_product_backward_weights>(
        forward, {{from, weights, to}, session().engine, forward},
        {{from, weights, to}, session().engine, forward}, {{DNNL_ARG_BIAS, filled(bias)}});
  });
}

}  // namespace cytograd::bench
