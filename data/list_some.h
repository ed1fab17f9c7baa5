// Lists of names in messages: a dataset may have a million of them.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace cytograd {

/// "a, b, c and 7 more".
template <typename Names>
std::string list_some(const Names& names, size_t most = 10) {
  const size_t count = std::size(names), shown = std::min(most, count);
  const auto end = std::next(std::begin(names), static_cast<std::ptrdiff_t>(shown));
  std::string text = fmt::format("{}", fmt::join(std::begin(names), end, ", "));
  if (count > shown) text += fmt::format(" and {} more", count - shown);
  return text;
}

}  // namespace cytograd
