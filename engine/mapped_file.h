// A file's bytes in memory, read from the disk as they are touched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace cytograd {

class MappedFile {
 public:
  /// Throws Error naming the file where it is no regular file or cannot be read.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// All of them, as many as there were when it was opened. A file that is cut short by others afterwards ends the
  /// process where it is read behind its new end (SIGBUS).
  std::span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(address_), size_}; }

  /// Has the system read a part ahead of its use.
  void will_need(uint64_t offset, uint64_t count) const;
  /// Lets go of a part's memory; it is read anew where it is touched again.
  void not_needed(uint64_t offset, uint64_t count) const;

 private:
  void advise(uint64_t offset, uint64_t count, int advice) const;

  void* address_ = nullptr;
  size_t size_ = 0;
};

}  // namespace cytograd
