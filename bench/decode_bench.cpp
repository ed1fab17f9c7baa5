// read_image on every PNG below a folder, one thread: the median of a file's microseconds in each of five passes.
// compare_decode.py has it beside Pillow.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <vector>

#include "data/image.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: decode_bench FOLDER\n");
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1]))
    if (entry.path().extension() == ".png") files.push_back(entry.path());
  std::vector<double> medians;
  for (int pass = 0; pass < 5; ++pass) {
    std::vector<double> seconds;
    for (const auto& file : files) {
      const auto start = std::chrono::steady_clock::now();
      const cytograd::Image image = cytograd::read_image(file);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                     seconds.end());
    medians.push_back(seconds[seconds.size() / 2]);
  }
  std::sort(medians.begin(), medians.end());
  fmt::print("{} files, {:.1f} us a file\n", files.size(), 1e6 * medians[medians.size() / 2]);
}
