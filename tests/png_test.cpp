// PNG of every kind, whoever decodes it, gives what stb_image alone gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>

#include "data/image.h"
#include "data/png_decode.h"
#include "data/png_unfilter.h"
#include "data/stb.h"
#include "engine/check.h"
#include "engine/philox.h"
#include "tests/support/png_chunks.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using test::png_chunk;
using test::TempDir;
using ::testing::HasSubstr;

struct Kind {
  int depth = 8;
  int colour = 0;
  bool interlaced = false;

  int samples() const { return colour == 6 ? 4 : colour == 2 ? 3 : colour == 4 ? 2 : 1; }
  int64_t stride(int64_t width) const { return (width * samples() * depth + 7) / 8; }
};

struct Size {
  int64_t width, height;
};

/// Rows of random bytes, half of them near the ends of the range, with filters of 0 to `filters` - 1 at random.
std::string random_rows(const Kind& kind, Size size, Philox& random, uint32_t filters = 5) {
  std::string rows;
  const auto add = [&](int64_t width, int64_t height) {
    for (int64_t y = 0; width > 0 && y < height; ++y) {
      rows += static_cast<char>(random.below(filters));
      for (int64_t x = 0; x < kind.stride(width); ++x)
        rows += static_cast<char>(random.below(2) == 0 ? random.below(256) : random.below(5) + 254);
    }
  };
  if (!kind.interlaced) {
    add(size.width, size.height);
    return rows;
  }
  for (const auto& [left, top, across, down] : {std::array{0, 0, 8, 8},
                                                {4, 0, 8, 8},
                                                {0, 4, 4, 8},
                                                {2, 0, 4, 4},
                                                {0, 2, 2, 4},
                                                {1, 0, 2, 2},
                                                {0, 1, 1, 2}})
    add((size.width - left + across - 1) / across, (size.height - top + down - 1) / down);
  return rows;
}

std::string compressed(const std::string& rows, int level = 6) {
  uLongf count = compressBound(rows.size());
  std::string zlib(count, '\0');
  compress2(reinterpret_cast<Bytef*>(zlib.data()), &count, reinterpret_cast<const Bytef*>(rows.data()),
            rows.size(), level);
  return zlib.substr(0, count);
}

/// `before`: chunks between header and data. The data is parted into `parts` chunks.
std::string png_of(const Kind& kind, Size size, const std::string& zlib, const std::string& before = "",
                   size_t parts = 1) {
  std::string header = test::big_endian(static_cast<uint32_t>(size.width)) +
                       test::big_endian(static_cast<uint32_t>(size.height));
  for (const int value : {kind.depth, kind.colour, 0, 0, kind.interlaced ? 1 : 0})
    header += static_cast<char>(value);
  std::string png = "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", header) + before;
  const size_t part = zlib.size() / parts + 1;
  for (size_t at = 0; at < zlib.size(); at += part) png += png_chunk("IDAT", zlib.substr(at, part));
  return png + png_chunk("IEND", "");
}

std::string palette_of(const Kind& kind) {
  return kind.colour == 3 ? png_chunk("PLTE", std::string(768, '\x35') + std::string()) : std::string();
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// Values as stb_image reads them, of 8 or 16 bits, without alpha.
std::vector<uint16_t> by_stb(const std::string& png) {
  int width = 0, height = 0, samples = 0;
  const auto* bytes = reinterpret_cast<const stbi_uc*>(png.data());
  const int count = static_cast<int>(png.size());
  if (stbi_info_from_memory(bytes, count, &width, &height, &samples) == 0) return {};
  const int kept = samples <= 2 ? 1 : 3;
  const auto take = [&](auto* pixels) {
    std::vector<uint16_t> values;
    if (pixels != nullptr) values.assign(pixels, pixels + int64_t{width} * height * kept);
    stbi_image_free(pixels);
    return values;
  };
  return stbi_is_16_bit_from_memory(bytes, count) != 0
             ? take(stbi_load_16_from_memory(bytes, count, &width, &height, &samples, kept))
             : take(stbi_load_from_memory(bytes, count, &width, &height, &samples, kept));
}

std::vector<uint16_t> values_of(const RawImage& image) {
  return image.info.bits == 16 ? image.levels : std::vector<uint16_t>(image.bytes.begin(), image.bytes.end());
}

/// The specification read word by word.
std::vector<uint8_t> unfiltered(const std::string& rows, const PngRows& shape) {
  std::vector<uint8_t> y(static_cast<size_t>(shape.height * shape.stride));
  const auto at = [&](int64_t row, int64_t x) {
    return row < 0 || x < 0 ? 0 : int{y[static_cast<size_t>(row * shape.stride + x)]};
  };
  for (int64_t row = 0; row < shape.height; ++row)
    for (int64_t x = 0; x < shape.stride; ++x) {
      const auto in = static_cast<size_t>(row * (shape.stride + 1));
      const int a = at(row, x - shape.pixel), b = at(row - 1, x),
                c = x < shape.pixel ? 0 : at(row - 1, x - shape.pixel);
      const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
      const int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      const int prediction = std::array{0, a, b, (a + b) / 2, paeth}[static_cast<uint8_t>(rows[in])];
      y[static_cast<size_t>(row * shape.stride + x)] =
          static_cast<uint8_t>(static_cast<uint8_t>(rows[in + 1 + static_cast<size_t>(x)]) + prediction);
    }
  return y;
}

TEST(UnfilterPng, IsTheSpecificationForAllFiltersPixelsAndSizes) {
  Philox random(3);
  for (const int64_t pixel : {1, 2, 3, 4, 6, 8})
    for (const int64_t width : {1, 2, 3, 15, 16, 17, 70})
      for (const int64_t height : {1, 2, 15, 16, 17, 33, 48})
        for (uint32_t filters = 1; filters <= 5; ++filters) {
          const PngRows shape{height, width * pixel, pixel};
          const std::string rows =
              random_rows({.depth = static_cast<int>(8 * pixel)}, {width, height}, random, filters);
          std::vector<uint8_t> y(static_cast<size_t>(height * shape.stride));
          ASSERT_TRUE(unfilter_png(bytes_of(rows).data(), shape, y.data()));
          ASSERT_EQ(y, unfiltered(rows, shape)) << width << "x" << height << " of " << pixel << " bytes";
        }
}

TEST(UnfilterPng, EachFilterByItself) {
  Philox random(4);
  const PngRows shape{40, 40, 1};
  for (char filter = 0; filter < 5; ++filter) {
    std::string rows = random_rows({}, {40, 40}, random);
    for (size_t at = 0; at < rows.size(); at += 41) rows[at] = filter;
    std::vector<uint8_t> y(1600);
    ASSERT_TRUE(unfilter_png(bytes_of(rows).data(), shape, y.data()));
    EXPECT_EQ(y, unfiltered(rows, shape)) << "filter " << int{filter};
  }
}

TEST(UnfilterPng, AnUnknownFilterIsRefused) {
  for (const char filter : {'\5', '\xFF'})
    for (size_t row = 0; row < 20; ++row) {
      std::string rows(20 * 4, '\0');
      rows[4 * row] = filter;
      std::vector<uint8_t> y(60);
      EXPECT_FALSE(unfilter_png(bytes_of(rows).data(), {20, 3, 1}, y.data()));
    }
}

TEST(DecodePng, IsStbImageForEveryKindThatItTakes) {
  Philox random(5);
  for (const int colour : {0, 2, 4, 6})
    for (const int depth : {8, 16})
      for (const Size size : {Size{1, 1}, {3, 20}, {40, 33}, {129, 64}})
        for (const size_t parts : {1, 3}) {
          const Kind kind{depth, colour};
          const std::string png = png_of(kind, size, compressed(random_rows(kind, size, random)), "", parts);
          const auto image = decode_png("a.png", bytes_of(png));
          ASSERT_TRUE(image);
          EXPECT_EQ(image->info.height, size.height);
          EXPECT_EQ(image->info.width, size.width);
          EXPECT_EQ(image->info.bits, depth);
          EXPECT_EQ(image->info.channels, colour % 4 == 0 ? 1 : 3);
          ASSERT_EQ(values_of(*image), by_stb(png)) << "colour " << colour << " of " << depth << " bits";
        }
}

TEST(DecodePng, LeavesTheRestToStbImageAndAcceptsItsSizes) {
  const TempDir dir;
  Philox random(6);
  std::vector<std::pair<Kind, std::string>> kinds{{{8, 0}, png_chunk("tRNS", std::string(2, '\0'))},
                                                  {{16, 2}, png_chunk("tRNS", std::string(6, '\0'))}};
  for (const bool interlaced : {false, true})
    for (const int depth : {1, 2, 4, 8, 16})
      for (const int colour : {0, 2, 3, 4, 6}) {
        const bool is_simple = !interlaced && depth >= 8 && colour != 3;
        if (is_simple || (colour == 3 && depth == 16) || (colour != 0 && colour != 3 && depth < 8)) continue;
        const Kind kind{depth, colour, interlaced};
        kinds.emplace_back(kind, palette_of(kind));
      }
  for (const auto& [kind, before] : kinds)
    for (const Size size : {Size{1, 1}, {2, 5}, {5, 2}, {9, 8}, {33, 17}}) {
      const std::string png = png_of(kind, size, compressed(random_rows(kind, size, random)), before);
      EXPECT_FALSE(decode_png("a.png", bytes_of(png)));
      const Image image = read_image(dir.write("a.png", png));
      const std::vector<uint16_t> expected = by_stb(png);
      ASSERT_EQ(image.pixels.size(), expected.size());
      if (kind.depth == 16) continue;
      EXPECT_EQ(std::vector<uint16_t>(image.pixels.begin(), image.pixels.end()), expected)
          << "colour " << kind.colour << " of " << kind.depth << " bits";
    }
}

TEST(DecodePng, ImageDataThatIsNotAsTheHeaderSaysIsCorrupted) {
  const TempDir dir;
  Philox random(7);
  for (const Kind kind : {Kind{8, 0}, {16, 2}, {8, 6}, {8, 3}, {1, 0}, {8, 2, true}}) {
    const Size size{21, 19};
    const std::string rows = random_rows(kind, size, random), zlib = compressed(rows),
                      before = palette_of(kind);
    const auto error = [&](const std::string& data) {
      const auto file = dir.write("a.png", png_of(kind, size, data, before));
      return test::message_of<Error>([&] { read_image(file); });
    };
    EXPECT_EQ(error(zlib), "");
    EXPECT_THAT(error(compressed(rows.substr(1))), HasSubstr("a.png: is corrupted"));
    EXPECT_THAT(error(compressed(rows + '\0')), HasSubstr("a.png: is corrupted"));
    EXPECT_THAT(error(compressed(std::string(size_t{64} << 20, '\0'))), HasSubstr("a.png: is corrupted"));
    EXPECT_THAT(error(zlib.substr(0, zlib.size() - 1)), HasSubstr("a.png: is corrupted"));
    EXPECT_THAT(error("x" + zlib), HasSubstr("a.png: is corrupted"));
    EXPECT_THAT(error(""), HasSubstr("a.png: is corrupted"));
    std::string changed = zlib;
    changed.back() = static_cast<char>(changed.back() ^ 1);  // of the Adler-32
    EXPECT_THAT(error(changed), HasSubstr("a.png: is corrupted"));
  }
}

TEST(DecodePng, AnUnknownFilterIsCorrupted) {
  const TempDir dir;
  const auto file = dir.write("a.png", test::make_png({}, std::string_view("\5\1", 2)));
  EXPECT_THAT(test::message_of<Error>([&] { read_image(file); }), HasSubstr("a.png: is corrupted"));
}

TEST(DecodePng, ChunksOfOthersArePassedOverButCriticalOnesAreRefused) {
  const TempDir dir;
  const std::string zlib = compressed(std::string("\0\7", 2));
  EXPECT_EQ(read_image(dir.write("a.png", png_of({}, {1, 1}, zlib, png_chunk("teXt", "x")))).pixels[0], 7);
  for (const char* type : {"TEXT", "IHDR"}) {
    const auto file = dir.write("b.png", png_of({}, {1, 1}, zlib, png_chunk(type, "x")));
    EXPECT_THAT(test::message_of<Error>([&] { read_image(file); }), HasSubstr("b.png: is "));
  }
}

TEST(DecodePng, IsStbImageForEveryRealImage) {
  CYTOGRAD_NEEDS_SAMPLES();
  int64_t images = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test::samples_folder())) {
    if (entry.path().extension() != ".png") continue;
    const std::string png = test::read_file(entry.path());
    const std::optional<RawImage> image = decode_png(entry.path(), bytes_of(png));
    if (!image) continue;
    ++images;
    ASSERT_EQ(values_of(*image), by_stb(png)) << entry.path();
  }
  EXPECT_GT(images, 100);
}

}  // namespace
}  // namespace cytograd
