#include "engine/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/check.h"

namespace cytograd {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int descriptor =
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for its writer
  if (descriptor < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
  struct stat status {};
  const bool known = fstat(descriptor, &status) == 0;
  size_ = known && S_ISREG(status.st_mode) ? static_cast<size_t>(status.st_size) : 0;
  address_ = size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0) : nullptr;
  const int reason = errno;
  close(descriptor);  // the mapping stays
  if (!known || address_ == MAP_FAILED)
    fail("{}: cannot be mapped into memory: {}", path.string(), std::strerror(reason));
  if (!S_ISREG(status.st_mode)) fail("{}: is not a regular file", path.string());
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) munmap(address_, size_);
}

void MappedFile::will_need(uint64_t offset, uint64_t count) const { advise(offset, count, MADV_WILLNEED); }

void MappedFile::not_needed(uint64_t offset, uint64_t count) const { advise(offset, count, MADV_DONTNEED); }

void MappedFile::advise(uint64_t offset, uint64_t count, int advice) const {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t first = offset / page * page;
  (void)madvise(static_cast<uint8_t*>(address_) + first, offset + count - first,
                advice);  // no more than advice
}

}  // namespace cytograd
