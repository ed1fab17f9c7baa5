// Element types of launchers, which take untyped pointers, and the dispatch from them to kernels' types.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "kernels/half.h"

namespace cytograd {

enum class ElementType : uint8_t { f32, bf16, f16 };

template <typename T>
struct ElementTag {
  using type = T;
};

/// f(ElementTag<T>{}) with the type that `type` names.
template <typename F>
decltype(auto) dispatch_element(ElementType type, F&& f) {
  switch (type) {
    case ElementType::f32:
      return f(ElementTag<float>{});
    case ElementType::bf16:
      return f(ElementTag<bf16>{});
    case ElementType::f16:
      return f(ElementTag<f16>{});
  }
  throw std::invalid_argument("no such element type");
}

}  // namespace cytograd
