// The order people expect of names that hold numbers: "plate2" before "plate10".
#pragma once

#include <string_view>

namespace cytograd {

namespace detail {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The run of digits that starts at `at`, and moves `at` behind it.
constexpr std::string_view take_digits(std::string_view text, size_t& at) {
  const size_t start = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(start, at - start);
}

}  // namespace detail

/// Negative, zero or positive as `a` sorts before, with or after `b`. Runs of digits compare as numbers of
/// any length, all else as bytes, a name before what it is a prefix of. Names that differ only in leading
/// zeros ("a1", "a01") compare as bytes, so that the order is total: zero means equal.
constexpr int natural_compare(std::string_view a, std::string_view b) {
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (detail::is_digit(a[i]) && detail::is_digit(b[j])) {
      std::string_view m = detail::take_digits(a, i);
      std::string_view n = detail::take_digits(b, j);
      while (m.size() > 1 && m.front() == '0') m.remove_prefix(1);
      while (n.size() > 1 && n.front() == '0') n.remove_prefix(1);
      if (m.size() != n.size()) return m.size() < n.size() ? -1 : 1;
      if (const int order = m.compare(n); order != 0) return order;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]) ? -1 : 1;
      ++i;
      ++j;
    }
  }
  if (i < a.size()) return 1;
  if (j < b.size()) return -1;
  return a.compare(b);
}

/// The same as a predicate, for std::sort and std::set.
struct NaturalLess {
  using is_transparent = void;
  constexpr bool operator()(std::string_view a, std::string_view b) const {
    return natural_compare(a, b) < 0;
  }
};

}  // namespace cytograd
