// Values of JSON that came from outside, and texts that are to become JSON. For sources of data/ alone.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/check.h"

namespace cytograd {

/// A whole number from `least` to `most`. Throws Error, "<name>: ...", where it is another or none; nlohmann would
/// convert it, which is undefined of what does not fit.
template <typename Json>
int64_t whole_number(const Json& json, std::string_view name, int64_t least, int64_t most) {
  const bool is_whole =
      json.is_number_integer() && (!json.is_number_unsigned() || json.template get<uint64_t>() <= INT64_MAX);
  const int64_t value = is_whole ? json.template get<int64_t>() : 0;
  if (!is_whole || value < least || value > most)
    fail("{}: {} is not a whole number from {} to {}", name, json.dump(-1, ' ', true), least, most);
  return value;
}

/// Whether JSON can hold the text as it is.
inline bool is_utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace cytograd
