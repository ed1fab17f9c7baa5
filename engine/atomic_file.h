// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

namespace cytograd {

/// Writes beside `path`, into `<path>.tmp.<pid>`, and renames that into place: whoever looks, or a process
/// killed at any moment, finds the old file or the new one. A path that is no regular file (/dev/stdout, a
/// pipe) is written directly. Methods throw Error with the file's name and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  /// Without commit(), removes what was written.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Brings everything to the disk and the file into place. The last call.
  void commit();

 private:
  void flush();
  void write_out(const char* data, size_t bytes);
  [[noreturn]] void failed(const char* what) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // equal to path_ where that is no regular file
  std::vector<char> buffer_;
  int descriptor_ = -1;
};

/// The whole file at once.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace cytograd
