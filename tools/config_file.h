// config.toml: the part of TOML (toml.io) that settings need. Strings of any bytes are read back as they were.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

/// name = value, or name = [value, value]; below a [table] the name is "table.name".
struct ConfigItem {
  std::string name;
  std::vector<std::string> values;
};

/// In the order of the text. Throws Error naming `source` and the line where the text is malformed.
std::vector<ConfigItem> parse_config(std::string_view text, const std::string& source);

/// A string in quotes, on one line.
std::string toml_string(std::string_view text);

}  // namespace cytograd
