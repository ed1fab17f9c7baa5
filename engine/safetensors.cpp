#include "engine/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/atomic_file.h"
#include "engine/safetensors_header.h"

namespace cytograd {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr uint64_t kMaxHeader = 100'000'000;  // as the reference implementation

class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path) : path_(path.string()) {
    descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for its writer
    struct stat status {};
    const bool opened = descriptor_ >= 0 && fstat(descriptor_, &status) == 0;
    const int reason = errno;
    if (opened && S_ISREG(status.st_mode)) {
      size_ = static_cast<uint64_t>(status.st_size);
      return;
    }
    if (descriptor_ >= 0) close(descriptor_);
    fail("{}: cannot read: {}", path_, opened ? "not a regular file" : std::strerror(reason));
  }
  ~InputFile() { close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }

  void read(void* destination, uint64_t bytes, uint64_t offset) const {
    auto* at = static_cast<char*>(destination);
    while (bytes > 0) {
      const ssize_t got =
          pread(descriptor_, at, std::min<uint64_t>(bytes, uint64_t{1} << 30), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("{}: cannot read: {}", path_, std::strerror(errno));
      if (got == 0) fail("{}: truncated while it was read", path_);
      at += got;
      bytes -= static_cast<uint64_t>(got);
      offset += static_cast<uint64_t>(got);
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

SafetensorsHeader read_header(const InputFile& file) {
  uint64_t length = 0;
  if (file.size() < sizeof(length))
    fail("{}: not a safetensors file: {} bytes, too short for a header", file.path(), file.size());
  file.read(&length, sizeof(length), 0);
  if (length > kMaxHeader)
    fail("{}: not a safetensors file: a header of {} bytes, more than {}", file.path(), length, kMaxHeader);
  if (length > file.size() - sizeof(length))
    fail("{}: truncated: {} bytes, but the header alone has {}", file.path(), file.size(), length);
  std::string text(length, '\0');
  file.read(text.data(), length, sizeof(length));

  SafetensorsHeader header = detail::parse_safetensors_header(text, file.path());
  uint64_t end = sizeof(length) + length;
  for (SafetensorsEntry& entry : header.entries) {
    entry.offset += sizeof(length) + length;
    if (entry.bytes() > file.size() - end)
      fail("{}: truncated: tensor '{}' ends at byte {} of {}", file.path(), detail::printable(entry.name),
           entry.offset + entry.bytes(), file.size());
    end += entry.bytes();
  }
  if (end != file.size())
    fail("{}: {} bytes behind the last tensor, which ends at byte {}", file.path(), file.size() - end, end);
  header.file_bytes = file.size();
  return header;
}

}  // namespace

const Tensor* SafetensorsFile::find(std::string_view name) const {
  for (const NamedTensor& item : tensors) {
    if (item.name == name) return &item.tensor;
  }
  return nullptr;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  return read_header(InputFile(path));
}

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  const InputFile file(path);
  SafetensorsHeader header = read_header(file);
  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  result.tensors.reserve(header.entries.size());
  for (SafetensorsEntry& entry : header.entries) {
    Tensor tensor = Tensor::empty(entry.shape, entry.dtype);
    file.read(tensor.raw(), entry.bytes(), entry.offset);
    result.tensors.push_back({std::move(entry.name), std::move(tensor)});
  }
  return result;
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const SafetensorsMetadata& metadata) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : tensors) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->tensor.dtype()) > size_of(b->tensor.dtype());
  });
  std::vector<SafetensorsEntry> entries;
  for (const NamedTensor* item : order)
    entries.push_back({item->name, item->tensor.dtype(), item->tensor.shape()});

  AtomicFile file(path);
  file.write(safetensors_prefix(entries, metadata));
  for (const NamedTensor* item : order) {
    const Tensor host = item->tensor.to(Device::cpu);
    file.write(host.raw(), host.bytes());
  }
  file.commit();
}

}  // namespace cytograd
