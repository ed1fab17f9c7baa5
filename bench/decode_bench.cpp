// read_image on every PNG below a folder, one thread: the median of a file's microseconds in each of five passes.
// compare_decode.py has it beside Pillow.
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <vector>

#include "bench/timing.h"
#include "data/image.h"

namespace {

int measure(const char* folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".png") files.push_back(entry.path());
  if (files.empty()) {
    fmt::print(stderr, "decode_bench: no PNG below {}\n", folder);
    return 2;
  }
  std::vector<double> medians;
  for (int pass = 0; pass < 5; ++pass) {
    std::vector<double> seconds;
    for (const auto& file : files) {
      const auto start = std::chrono::steady_clock::now();
      const cytograd::Image image = cytograd::read_image(file);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    medians.push_back(cytograd::bench::median(seconds));
  }
  fmt::print("{} files, {:.1f} us a file\n", files.size(), 1e6 * cytograd::bench::median(medians));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: decode_bench FOLDER\n");
    return 2;
  }
  try {
    return measure(argv[1]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "decode_bench: {}\n", error.what());
    return 1;
  }
}
