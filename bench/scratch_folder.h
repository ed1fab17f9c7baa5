// A folder that is removed at the end.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "engine/check.h"

namespace cytograd::bench {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cytograd-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) fail("no temporary folder: {}", pattern);
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cytograd::bench
