#include "engine/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>

#include "engine/check.h"
#include "engine/parse_number.h"

namespace cytograd {
namespace {

constexpr size_t kBuffer = 64 * 1024;
constexpr size_t kMaxWrite = size_t{1} << 30;  // Linux writes at most 2 GiB a call

namespace fs = std::filesystem;

bool is_inside(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

/// Where a path leads to.
struct Target {
  fs::path path;
  bool in_place = false;
  int descriptor = -1;  ///< of this process that the path stands for; -1: none
};

/// "/proc/<this process>/fd/7" is 7.
int own_descriptor(const fs::path& path) {
  if (path.parent_path() != fmt::format("/proc/{}/fd", getpid())) return -1;
  return parse_number<int>(path.filename().string()).value_or(-1);
}

/// Follows links one by one: the kernel's own in /proc name a file that is to be written through the link alone.
Target resolve(const fs::path& path) {
  constexpr int kMostLinks = 40;  // as Linux
  std::error_code error;
  Target target{path};
  for (int links = 0; links <= kMostLinks; ++links) {
    const fs::path folder = fs::weakly_canonical(fs::absolute(target.path).parent_path(), error);
    const fs::path real = folder / target.path.filename();
    const bool in_proc = is_inside(real, "/proc");
    if (in_proc || (is_inside(real, "/dev") && !is_inside(real, "/dev/shm"))) target.in_place = true;
    target.descriptor = own_descriptor(real);
    if (in_proc || !fs::is_symlink(fs::symlink_status(real, error))) {
      const fs::file_type type = fs::status(real, error).type();
      if (type != fs::file_type::regular && type != fs::file_type::not_found) target.in_place = true;
      return target;
    }
    const fs::path link = fs::read_symlink(real, error);
    if (error) break;
    target.path = link.is_absolute() ? link : folder / link;
  }
  fail("{}: cannot write: {}", path.string(), std::strerror(ELOOP));
}

/// Of those that write one file, threads, processes or machines, the last wins: each has a temporary file of its own.
fs::path temporary_beside(const fs::path& target) {
  constexpr size_t kLongestName = 255;  // NAME_MAX
  const std::string mark = fmt::format(".tmp.{:08x}", std::random_device()());
  return target.parent_path() / (target.filename().string().substr(0, kLongestName - mark.size()) + mark);
}

/// Who may read and write what is replaced may its successor: it gets the owner, the group and the mode, as far as this
/// process may give them. What was another's and cannot be is as any new file.
void keep_owner_and_mode(const fs::path& target, int descriptor) {
  struct stat before {
  }, now{};
  if (stat(target.c_str(), &before) != 0) return;
  if (fchown(descriptor, before.st_uid, before.st_gid) != 0) (void)fchown(descriptor, -1, before.st_gid);
  if (fstat(descriptor, &now) != 0 || now.st_uid != before.st_uid) return;
  (void)fchmod(descriptor, before.st_mode & (now.st_gid == before.st_gid ? 0777 : 0707));
}

}  // namespace

bool is_written_in_place(const fs::path& path) { return resolve(path).in_place; }

AtomicFile::AtomicFile(fs::path path, Durability durability)
    : path_(std::move(path)), durability_(durability) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) fail("{}: cannot write: is a directory", path_.string());
  const Target target = resolve(path_);
  target_ = target.path;
  if (target.descriptor >= 0) {  // opened again, it would be written from its start, over what is there
    descriptor_ = fcntl(target.descriptor, F_DUPFD_CLOEXEC, 0);
  } else if (target.in_place) {
    descriptor_ = open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC);
  } else {
    do {
      temporary_ = temporary_beside(target_);
      descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ >= 0) keep_owner_and_mode(target_, descriptor_);
  }
  if (descriptor_ < 0) failed("cannot write");
  buffer_.reserve(kBuffer);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
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
  const bool in_place = temporary_.empty();
  const bool synced = !in_place && durability_ == Durability::synced;
  if (synced && fsync(descriptor_) != 0) failed("cannot write");
  const int descriptor = descriptor_;
  // From here on the destructor has nothing to close: whatever close() says, the descriptor is gone.
  descriptor_ = -1;
  if (close(descriptor) != 0 || (!in_place && rename(temporary_.c_str(), target_.c_str()) != 0)) {
    const int reason = errno;
    if (!in_place) unlink(temporary_.c_str());
    errno = reason;
    failed("cannot write");
  }
  if (!synced) return;
  // The name reaches the disk with its folder. The file is whole either way, so a failure here is none.
  const fs::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
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
