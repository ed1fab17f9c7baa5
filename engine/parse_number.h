// Numbers from text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace cytograd {

/// The whole text as std::from_chars reads it: digits, of `base` where one is given, without a '+', blanks or a prefix,
/// and in range of T.
template <typename T, typename... Base>
std::optional<T> parse_number(std::string_view text, Base... base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base...);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace cytograd
