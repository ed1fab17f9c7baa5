// Files of text, read whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace cytograd {

/// Its first `most` bytes. Throws Error naming the file, and the system's reason, where it is no regular file (a pipe
/// would wait for its writer) or cannot be read.
std::string read_text_file(const std::filesystem::path& file, size_t most = SIZE_MAX);

}  // namespace cytograd
