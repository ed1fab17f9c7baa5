// What there is in a file system. That the system cannot tell (no permission, a failing disk, links in a circle) is not
// the same as absence: then these throw Error, naming the path and the system's reason. A name too long for the system
// is of nothing.
#pragma once

#include <filesystem>

namespace cytograd {

/// Whether there is a file or folder of that name, links followed.
bool file_exists(const std::filesystem::path& path);
/// Whether there is one, and it is a folder.
bool folder_exists(const std::filesystem::path& path);

}  // namespace cytograd
