// A dataset that a small model learns within a second, and the command that has it do so.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/image.h"
#include "engine/philox.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace cytograd::test {

struct TinyData {
  int images = 24;
  int classes = 2;
  int groups = 4;  ///< 0: no column of groups
  int64_t side = 16;
  int64_t channels = 1;
};

/// Noise whose brightness is the class's.
inline Image tiny_image(const TinyData& data, int index) {
  Image image{data.side, data.side, data.channels, {}};
  Philox random(7, static_cast<uint64_t>(index), 0);
  const uint32_t base =
      40 + 120 * static_cast<uint32_t>(index % data.classes) / static_cast<uint32_t>(data.classes);
  for (int64_t i = 0; i < data.side * data.side * data.channels; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(base + random.below(60)));
  }
  return image;
}

/// Writes an image of 1 or 3 channels as name.png, of others as grey files name_w1.png, ...; returns the `image` of a
/// labels.csv.
inline std::string write_channels(const std::filesystem::path& folder, const std::string& name,
                                  const Image& image) {
  if (image.channels == 1 || image.channels == 3) {
    write_png(folder / (name + ".png"), image);
    return name + ".png";
  }
  std::string files;
  for (int64_t c = 0; c < image.channels; ++c) {
    Image plane{image.height, image.width, 1, {}};
    for (auto i = static_cast<size_t>(c); i < image.pixels.size(); i += static_cast<size_t>(image.channels))
      plane.pixels.push_back(image.pixels[i]);
    const std::string file = fmt::format("{}_w{}.png", name, c + 1);
    write_png(folder / file, plane);
    files += (c > 0 ? ";" : "") + file;
  }
  return files;
}

/// i0.png, i1.png, ... of the classes c0, c1, ... and the groups g0, g1, ... beside their labels.csv.
inline std::filesystem::path write_tiny_data(const std::filesystem::path& folder, const TinyData& data = {}) {
  std::filesystem::create_directories(folder);
  std::ofstream table(folder / "labels.csv");
  table << (data.groups > 0 ? "image,label,group\n" : "image,label\n");
  for (int i = 0; i < data.images; ++i) {
    table << write_channels(folder, fmt::format("i{}", i), tiny_image(data, i)) << ",c" << i % data.classes;
    if (data.groups > 0) table << ",g" << i / data.classes % data.groups;
    table << "\n";
  }
  return folder;
}

using Words = std::vector<std::string>;

inline Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// The words of an epoch of training; those of `more` come last.
inline Words train_words(const std::filesystem::path& data, const std::filesystem::path& run,
                         const Words& more = {}) {
  return Words{"train", "--data",    data.string(), "--out",    run.string(), "--model", "small", "--batch",
               "4",     "--workers", "1",           "--device", "cpu",        "--dtype", "f32"} +
         (std::find(more.begin(), more.end(), "--epochs") == more.end() ? Words{"--epochs", "1"} : Words{}) +
         more;
}

inline CommandResult train(const std::filesystem::path& data, const std::filesystem::path& run,
                           const Words& more = {}, const CommandOptions& options = {}) {
  return run_command(train_words(data, run, more), options);
}

/// A run that is trained and whole; fails the test where it is not.
inline std::filesystem::path trained_run(const std::filesystem::path& data, const std::filesystem::path& run,
                                         const Words& more = {}) {
  const CommandResult result = train(data, run, more);
  EXPECT_EQ(result.code, 0) << result.err;
  return run;
}

/// Ended with `code` and said so in one line, the last of stderr, that has all of `parts`.
inline void expect_error(const CommandResult& result, int code, const Words& parts) {
  EXPECT_EQ(result.code, code) << "signal " << result.signal << ", stderr: " << result.err;
  const Words errors = result.errors();
  ASSERT_EQ(errors.size(), 1U) << result.err;
  EXPECT_TRUE(result.err.ends_with(errors[0] + "\n")) << result.err;
  for (const std::string& part : parts) EXPECT_THAT(errors[0], ::testing::HasSubstr(part));
}

inline void expect_ok(const CommandResult& result) {
  EXPECT_EQ(result.code, 0) << "signal " << result.signal << ", stderr: " << result.err;
  EXPECT_THAT(result.errors(), ::testing::IsEmpty());
}

/// The names in a folder, sorted.
inline Words listing(const std::filesystem::path& folder) {
  Words names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

}  // namespace cytograd::test
