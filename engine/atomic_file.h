// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

namespace cytograd {

/// Whether commit() waits until the disk has the file: without, a crash of the machine may leave an old or empty one.
enum class Durability { synced, cached };

/// Whether a path, its links followed, is written as it is: no regular file (a device, a pipe), or something in /proc
/// or /dev, such as /dev/stdout, whatever that is redirected to. The latter must never be replaced.
bool is_written_in_place(const std::filesystem::path& path);

/// Writes beside `path`, into `<path>.tmp.<8 random digits>` (the name cut where that is too long), and renames that
/// into place: whoever looks, or a process killed at any moment, finds the old file or the new one, with the old one's
/// owner and mode. A link stays, and what it leads to is replaced. What is_written_in_place is written directly; one of
/// the process's own descriptors (/dev/stdout) behind what it has written already. Methods throw Error with the file's
/// name and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path, Durability durability = Durability::synced);
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

  std::filesystem::path path_;       // as given: for messages
  std::filesystem::path target_;     // where its links lead
  std::filesystem::path temporary_;  // empty where the target is written in place
  Durability durability_;
  std::vector<char> buffer_;
  int descriptor_ = -1;
};

/// The whole file at once.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace cytograd
