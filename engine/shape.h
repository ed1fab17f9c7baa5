// The extents of a tensor, outermost first.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "engine/check.h"

namespace cytograd {

/// At most five extents, none negative. Rank 0 is a scalar of one element.
class Shape {
 public:
  static constexpr size_t kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(dims.size()) {
    CHECK(rank_ <= kMaxRank, "rank {}", rank_);
    for (size_t i = 0; i < rank_; ++i) {
      CHECK(dims[i] >= 0, "extent {} is {}", i, dims[i]);
      dims_[i] = dims[i];
    }
  }

  size_t rank() const { return rank_; }
  int64_t operator[](size_t i) const {
    CHECK(i < rank_, "extent {} of rank {}", i, rank_);
    return dims_[i];
  }
  std::span<const int64_t> dims() const { return {dims_.data(), rank_}; }

  /// Product of the extents; 1 for a scalar.
  int64_t elements() const {
    int64_t product = 1;
    for (size_t i = 0; i < rank_; ++i) product *= dims_[i];
    return product;
  }

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  size_t rank_ = 0;
};

/// "[2, 3, 4]".
std::string to_string(const Shape& shape);

}  // namespace cytograd

template <>
struct fmt::formatter<cytograd::Shape> : fmt::formatter<std::string> {
  auto format(const cytograd::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(cytograd::to_string(shape), context);
  }
};
