// A folder of its own for a test, removed with all that is in it.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cytograd::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cytograd-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder: " + pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& inside) const { return path_ / inside; }

  /// Writes a file, and the folders it lies in, and returns its path.
  std::filesystem::path write(const std::filesystem::path& inside, std::string_view content = "") const {
    const std::filesystem::path file = path_ / inside;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out << content;
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
    return file;
  }

 private:
  std::filesystem::path path_;
};

/// The bytes of a file.
inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The message of the Exception that `act` throws; "" where it throws none.
template <typename Exception, typename Act>
std::string message_of(const Act& act) {
  try {
    act();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

/// The folder of real images, or "" where CYTOGRAD_SAMPLES is unset.
inline std::filesystem::path samples_folder() {
  const char* folder = std::getenv("CYTOGRAD_SAMPLES");
  return folder != nullptr ? folder : "";
}

}  // namespace cytograd::test

/// Opens a test on real images: skips it, with the reason, where there are none.
#define CYTOGRAD_NEEDS_SAMPLES()                \
  if (cytograd::test::samples_folder().empty()) \
  GTEST_SKIP() << "needs real images: set CYTOGRAD_SAMPLES to their folder"
