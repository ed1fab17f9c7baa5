// oneDNN's versions 2 and 3 under one interface: version 2 puts the descriptor of an operation between the arguments
// and the primitive's descriptor, and takes fewer of them. For what wraps oneDNN alone: onednn.cpp, and the benchmarks'
// peers.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

namespace cytograd::onednn {

/// An argument that version 2 does not have.
template <typename T>
struct Since3 {
  const T& value;
};
template <typename T>
Since3<T> since_3(const T& value) {
  return {value};
}

template <typename T>
std::tuple<const T&> taken(const T& argument) {
  return {argument};
}
template <typename T>
auto taken(const Since3<T>& argument) {
#if DNNL_VERSION_MAJOR >= 3
  return std::tuple<const T&>(argument.value);
#else
  static_cast<void>(argument);
  return std::tuple();
#endif
}

/// How `Primitive` computes on version 3's arguments between the engine and the attributes. Throws dnnl::error where it
/// cannot.
template <typename Primitive, typename... Arguments>
typename Primitive::primitive_desc describe(const dnnl::engine& engine,
                                            const dnnl::primitive_attr& attributes,
                                            const Arguments&... arguments) {
  const auto make = [&](const auto&... values) -> typename Primitive::primitive_desc {
#if DNNL_VERSION_MAJOR >= 3
    return {engine, values..., attributes};
#else
    return {typename Primitive::desc(values...), attributes, engine};
#endif
  };
  return std::apply(make, std::tuple_cat(taken(arguments)...));
}

/// The same of a backward pass, whose forward pass is `forward`.
template <typename Primitive, typename Forward, typename... Arguments>
typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine,
                                                     const dnnl::primitive_attr& attributes,
                                                     const Forward& forward, const Arguments&... arguments) {
  const auto make = [&](const auto&... values) -> typename Primitive::primitive_desc {
#if DNNL_VERSION_MAJOR >= 3
    return {engine, values..., forward, attributes};
#else
    return {typename Primitive::desc(values...), attributes, engine, forward};
#endif
  };
  return std::apply(make, std::tuple_cat(taken(arguments)...));
}

}  // namespace cytograd::onednn
