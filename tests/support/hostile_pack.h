// Packs as an attacker would make them: changed, with checksums that fit.
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <filesystem>
#include <functional>
#include <regex>
#include <string>

#include "tests/support/temp_dir.h"

namespace cytograd::test {

inline std::string crc32_text(const std::string& text) {
  return fmt::format("{:08x}", crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

/// Replaces a pattern in pack.json.
inline void change_description(const TempDir& dir, const std::filesystem::path& pack,
                               const std::string& pattern, const std::string& with) {
  const std::string json = std::regex_replace(read_file(pack / "pack.json"), std::regex(pattern), with);
  const std::string without =
      std::regex_replace(json, std::regex(R"(,\n "crc32": "[0-9a-f]+"\n\}\n$)"), "\n}\n");
  dir.write(pack / "pack.json", std::regex_replace(json, std::regex(R"(\n "crc32": "[0-9a-f]+"\n\}\n$)"),
                                                   "\n \"crc32\": \"" + crc32_text(without) + "\"\n}\n"));
}

/// Changes the text of index.csv.
inline void change_index(const TempDir& dir, const std::filesystem::path& pack,
                         const std::function<std::string(std::string)>& change) {
  const std::string index = change(read_file(pack / "index.csv"));
  dir.write(pack / "index.csv", index);
  change_description(dir, pack, R"("file": "index.csv",\n   "bytes": \d+,\n   "crc32": "[0-9a-f]+")",
                     fmt::format("\"file\": \"index.csv\",\n   \"bytes\": {},\n   \"crc32\": \"{}\"",
                                 index.size(), crc32_text(index)));
}

}  // namespace cytograd::test
