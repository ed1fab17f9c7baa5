#include "data/text_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/check.h"

namespace cytograd {

std::string read_text_file(const std::filesystem::path& file, size_t most) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(file, error);
  if (error) fail("{}: cannot be read: {}", file.string(), error.message());
  if (std::filesystem::is_directory(status)) fail("{}: is a folder, not a file", file.string());
  if (!std::filesystem::is_regular_file(status)) fail("{}: is not a regular file", file.string());
  struct Close {
    void operator()(std::FILE* opened) const { std::fclose(opened); }
  };
  const std::unique_ptr<std::FILE, Close> opened(std::fopen(file.c_str(), "rb"));
  if (!opened) fail("{}: cannot be read: {}", file.string(), std::strerror(errno));
  std::string text;
  constexpr size_t kBlock = size_t{1} << 16;
  while (text.size() < most) {
    const size_t before = text.size(), wanted = std::min(kBlock, most - before);
    text.resize(before + wanted);
    const size_t got = std::fread(text.data() + before, 1, wanted, opened.get());
    text.resize(before + got);
    if (got < wanted) break;
  }
  if (std::ferror(opened.get()) != 0) fail("{}: cannot be read: {}", file.string(), std::strerror(errno));
  return text;
}

}  // namespace cytograd
