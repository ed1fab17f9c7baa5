// Numbers from text.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace cytograd {

/// The whole text as std::from_chars reads it: digits of `base`, without a '+', blanks or a prefix, and in range of T.
template <std::integral T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
template <std::floating_point T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace cytograd
