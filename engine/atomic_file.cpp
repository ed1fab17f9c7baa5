#include "engine/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"

namespace cytograd {
namespace {

constexpr size_t kBuffer = 64 * 1024;
constexpr size_t kMaxWrite = size_t{1} << 30;  // Linux writes at most 2 GiB a call

/// A device or a pipe, which cannot be renamed over.
bool is_stream(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto type = std::filesystem::status(path, ignored).type();
  return type == std::filesystem::file_type::character || type == std::filesystem::file_type::fifo ||
         type == std::filesystem::file_type::socket;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path_, ignored)) fail("{}: cannot write: is a directory", path_.string());
  const bool stream = is_stream(path_);
  if (!stream) temporary_ += fmt::format(".tmp.{}", getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CLOEXEC | (stream ? 0 : O_CREAT | O_TRUNC), 0666);
  if (descriptor_ < 0) failed("cannot write");
  buffer_.reserve(kBuffer);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (temporary_ != path_) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  const auto* first = static_cast<const char*>(data);
  if (buffer_.size() + bytes > kBuffer) flush();
  if (bytes >= kBuffer) return write_out(first, bytes);
  buffer_.insert(buffer_.end(), first, first + bytes);
}

void AtomicFile::commit() {
  CHECK(descriptor_ >= 0, "{} is committed already", path_.string());
  flush();
  const bool stream = temporary_ == path_;
  if (!stream && fsync(descriptor_) != 0) failed("cannot write");
  const int descriptor = descriptor_;
  // From here on the destructor has nothing to close: whatever close() says, the descriptor is gone.
  descriptor_ = -1;
  if (close(descriptor) != 0 || (!stream && rename(temporary_.c_str(), path_.c_str()) != 0)) {
    const int reason = errno;
    if (!stream) unlink(temporary_.c_str());
    errno = reason;
    failed("cannot write");
  }
  if (stream) return;
  // The name reaches the disk with its folder. The file is whole either way, so a failure here is none.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int parent = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return;
  (void)fsync(parent);
  close(parent);
}

void AtomicFile::flush() {
  write_out(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::write_out(const char* data, size_t bytes) {
  CHECK(descriptor_ >= 0, "{} is committed already", path_.string());
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, data, std::min(bytes, kMaxWrite));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) failed("cannot write");
    data += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::failed(const char* what) const {
  const int reason = errno;
  fail("{}: {}: {}", path_.string(), what, std::strerror(reason));
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace cytograd
