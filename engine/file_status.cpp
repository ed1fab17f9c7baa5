#include "engine/file_status.h"

#include "engine/check.h"

namespace cytograd {
namespace {

std::filesystem::file_status status_of(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (error == std::errc::filename_too_long)
    return std::filesystem::file_status(std::filesystem::file_type::not_found);
  if (!std::filesystem::status_known(status))
    fail("{}: cannot be looked at: {}", path.string(), error.message());
  return status;
}

}  // namespace

bool file_exists(const std::filesystem::path& path) { return std::filesystem::exists(status_of(path)); }

bool folder_exists(const std::filesystem::path& path) {
  return std::filesystem::is_directory(status_of(path));
}

}  // namespace cytograd
