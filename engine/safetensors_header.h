// The JSON header of a safetensors file.
#pragma once

#include <string>
#include <string_view>

#include "engine/safetensors.h"

namespace cytograd::detail {

/// Metadata and entries in the order of their offsets, which count from the header's end, begin at 0 and
/// leave no gap. Throws Error that begins with `file`.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& file);

/// A name from a file, fit for one line: control characters replaced, at most 100 bytes.
std::string printable(std::string_view name);

}  // namespace cytograd::detail
