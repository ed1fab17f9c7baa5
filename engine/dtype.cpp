#include "engine/dtype.h"

#include <array>

namespace cytograd {
namespace {

struct Entry {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr std::array<Entry, 6> kTable{{{DType::u8, "u8", 1},
                                       {DType::i32, "i32", 4},
                                       {DType::i64, "i64", 8},
                                       {DType::f32, "f32", 4},
                                       {DType::bf16, "bf16", 2},
                                       {DType::f16, "f16", 2}}};

}  // namespace

size_t size_of(DType dtype) { return kTable.at(static_cast<size_t>(dtype)).size; }

std::string_view dtype_name(DType dtype) { return kTable.at(static_cast<size_t>(dtype)).name; }

DType parse_dtype(std::string_view name) {
  for (const Entry& entry : kTable) {
    if (entry.name == name) return entry.dtype;
  }
  fail("unknown element type '{}'; known: u8, i32, i64, f32, bf16, f16", name);
}

}  // namespace cytograd
