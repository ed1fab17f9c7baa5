// Reading of TIFF: every layout of the same values gives the same image, what is not read is named, and no bytes do
// harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "data/image.h"
#include "engine/check.h"
#include "engine/philox.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiff_files.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using test::TempDir;
using test::TiffKind;
using test::write_tiff;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::array<uint16_t, 2> kBits{8, 16};
constexpr std::array<uint16_t, 4> kCompressions{COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE,
                                                COMPRESSION_PACKBITS};
constexpr std::array<uint16_t, 2> kPredicted{COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE};

/// Smooth for the predictor, of both bytes, and of its own in each channel.
uint32_t level(uint32_t y, uint32_t x, uint32_t channel) {
  return (y * 331 + x * 47 + channel * 9001) & 0xFFFF;
}

uint32_t value_of(const TiffKind& kind, uint32_t y, uint32_t x, uint32_t channel) {
  return kind.bits == 8 ? level(y, x, channel) >> 8 : level(y, x, channel);
}

fs::path write(const TempDir& dir, const TiffKind& kind) {
  return write_tiff(dir / "a.tif", kind, [&](uint32_t page, uint32_t y, uint32_t x, uint32_t sample) {
    return value_of(kind, y, x, page + sample);
  });
}

/// What the file must be read as: its first `channels`, by the rule of 16 bits.
Image expected(const TiffKind& kind, uint32_t channels, int32_t white = 65535) {
  Image image{kind.height, kind.width, channels, {}};
  for (uint32_t y = 0; y < kind.height; ++y)
    for (uint32_t x = 0; x < kind.width; ++x)
      for (uint32_t c = 0; c < channels; ++c) {
        int64_t v = value_of(kind, y, x, c);
        if (kind.photometric == PHOTOMETRIC_MINISWHITE) v = (kind.bits == 8 ? 255 : 65535) - v;
        if (kind.bits == 16) v = std::min<int64_t>(255, (510 * v + white) / (2 * white));
        image.pixels.push_back(static_cast<uint8_t>(v));
      }
  return image;
}

void expect_read(const TempDir& dir, const TiffKind& kind, uint32_t channels, int32_t white = 65535) {
  SCOPED_TRACE(fmt::format("{} bits, {} samples, {} pages, tile {}, compression {}, separate {}, mode {}",
                           kind.bits, kind.samples, kind.pages, kind.tile, kind.compression, kind.separate,
                           kind.mode));
  const fs::path file = write(dir, kind);
  const Image image = read_image(file, {.white = white});
  const Image wanted = expected(kind, channels, white);
  EXPECT_EQ(image.channels, wanted.channels);
  EXPECT_TRUE(image.pixels == wanted.pixels);
  const ImageInfo info = read_image_info(file);
  EXPECT_EQ(info.height, kind.height);
  EXPECT_EQ(info.width, kind.width);
  EXPECT_EQ(info.channels, channels);
  EXPECT_EQ(info.bits, kind.bits);
}

/// "file: what is wrong" on one line; "" where it is read.
std::string error_of(const fs::path& file) {
  const std::string message = test::message_of<Error>([&] { read_image(file); });
  EXPECT_THAT(message, AnyOf("", StartsWith(file.string() + ": ")));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

/// The same said of the header and of the whole.
std::string refusal(const TempDir& dir, const TiffKind& kind) {
  const fs::path file = write(dir, kind);
  const std::string message = error_of(file);
  EXPECT_EQ(test::message_of<Error>([&] { read_image_info(file); }), message);
  return message;
}

TEST(ReadTiff, EveryLayoutOfTheValuesIsTheSameImage) {
  const TempDir dir;
  for (const uint16_t bits : kBits)
    for (const uint16_t compression : kCompressions)
      for (const uint32_t tile : {0, 16})
        for (const bool separate : {false, true})
          for (const char* mode : {"wl", "wb", "w8"})
            expect_read(dir,
                        {.samples = 3,
                         .bits = bits,
                         .compression = compression,
                         .separate = separate,
                         .tile = tile,
                         .mode = mode},
                        3);
}

TEST(ReadTiff, ATileMayBeMuchLargerThanTheImage) {
  const TempDir dir;
  expect_read(dir, {.compression = COMPRESSION_ADOBE_DEFLATE, .tile = 4096}, 1);
}

TEST(ReadTiff, APredictorIsUndone) {
  const TempDir dir;
  for (const uint16_t bits : kBits)
    for (const uint16_t compression : kPredicted)
      for (const char* mode : {"wl", "wb"})
        expect_read(dir,
                    {.samples = 2, .bits = bits, .compression = compression, .mode = mode, .predictor = true},
                    2);
}

TEST(ReadTiff, SixteenBitsAreScaledByWhite) {
  const TempDir dir;
  for (const int32_t white : {1, 255, 4095, 32768, 65535}) expect_read(dir, {.bits = 16}, 1, white);
  EXPECT_EQ(brightest_value(write(dir, {.bits = 16})), level(28, 36, 0));
}

TEST(ReadTiff, EightBitsIgnoreWhite) {
  const TempDir dir;
  expect_read(dir, {.bits = 8}, 1, 100);
}

TEST(ReadTiff, MinIsWhiteIsInverted) {
  const TempDir dir;
  for (const uint16_t bits : kBits) {
    expect_read(dir, {.bits = bits, .photometric = PHOTOMETRIC_MINISWHITE}, 1, 50000);
    expect_read(dir, {.samples = 2, .bits = bits, .photometric = PHOTOMETRIC_MINISWHITE, .separate = true},
                2);
  }
}

TEST(ReadTiff, ChannelsAreTheSamplesOrThePages) {
  const TempDir dir;
  for (uint16_t channels = 1; channels <= 8; ++channels)
    for (const uint16_t bits : kBits) {
      expect_read(dir, {.samples = channels, .bits = bits}, channels);
      expect_read(dir, {.samples = channels, .bits = bits, .separate = true, .tile = 16}, channels);
      expect_read(dir, {.pages = channels, .bits = bits, .compression = COMPRESSION_LZW}, channels);
      EXPECT_EQ(read_planes({(dir / "a.tif").string()}).channels, channels);
    }
}

TEST(ReadTiff, AlphaIsDropped) {
  const TempDir dir;
  for (const bool separate : {false, true}) {
    expect_read(
        dir,
        {.samples = 4, .photometric = PHOTOMETRIC_RGB, .extra = EXTRASAMPLE_ASSOCALPHA, .separate = separate},
        3);
    expect_read(dir, {.samples = 5, .bits = 16, .photometric = PHOTOMETRIC_RGB, .separate = separate}, 3);
    expect_read(dir, {.samples = 2, .extra = EXTRASAMPLE_UNASSALPHA, .separate = separate}, 1);
  }
}

TEST(ReadTiff, AlphaBeforeAChannelIsRefused) {
  const TempDir dir;
  const fs::path file = write_tiff(dir / "a.tif", {.samples = 3, .alpha_first = true},
                                   [](uint32_t, uint32_t, uint32_t, uint32_t sample) { return 10 * sample; });
  EXPECT_THAT(test::message_of<Error>([&] { read_image(file); }),
              HasSubstr("a.tif: its alpha is not the last of its samples"));
}

TEST(ReadTiff, JpegInTiffIsRgb) {
  const TempDir dir;
  TiffKind kind{.samples = 3, .photometric = PHOTOMETRIC_RGB, .compression = COMPRESSION_JPEG};
  const fs::path file = write_tiff(
      dir / "a.tif", kind, [](uint32_t, uint32_t, uint32_t, uint32_t sample) { return 40 + 70 * sample; });
  const Image image = read_image(file);
  ASSERT_EQ(image.channels, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    ASSERT_NEAR(image.pixels[i], 40 + 70 * static_cast<int>(i % 3), 2);
}

TEST(ReadTiff, ThumbnailsBesideTheImageArePassedOver) {
  const TempDir dir;
  const fs::path file = write(dir, {.pages = 2});
  {
    const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(TIFFOpen(file.c_str(), "r+"), &TIFFClose);
    ASSERT_EQ(TIFFSetDirectory(tiff.get(), 1), 1);
    TIFFSetField(tiff.get(), TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
    ASSERT_EQ(TIFFRewriteDirectory(tiff.get()), 1);
  }
  EXPECT_EQ(read_image(file).pixels, expected({}, 1).pixels);
  EXPECT_EQ(read_image_info(file).channels, 1);
}

TEST(ReadTiff, WhatIsNotReadIsNamed) {
  const TempDir dir;
  const auto says = [&](const TiffKind& kind, const char* what) {
    EXPECT_THAT(refusal(dir, kind), HasSubstr(what));
  };
  says({.photometric = PHOTOMETRIC_PALETTE}, "is a palette TIFF; grey and RGB are read");
  says({.samples = 4, .photometric = PHOTOMETRIC_SEPARATED}, "is a CMYK TIFF");
  says({.samples = 3, .photometric = PHOTOMETRIC_CIELAB}, "is a Lab TIFF");
  says({.samples = 3, .photometric = PHOTOMETRIC_YCBCR}, "is a YCbCr TIFF");
  says({.bits = 32, .format = SAMPLEFORMAT_IEEEFP},
       "is a TIFF of floating-point values; unsigned ones of 8 or 16 bits");
  says({.bits = 16, .format = SAMPLEFORMAT_INT}, "is a TIFF of signed values");
  says({.bits = 64, .format = SAMPLEFORMAT_COMPLEXIEEEFP}, "is a TIFF of complex values");
  says({.bits = 32}, "is a TIFF of 32 bits; those of 8 or 16 are read");
  says({.width = 8, .bits = 1}, "is a TIFF of 1 bits");
  says({.samples = 9}, "has 9 samples a pixel; 1 to 8 can be");
  says({.pages = 9}, "has more than 8 pages, the channels that an image may have");
  says({.samples = 2, .pages = 2},
       "page 1 of 2 has 2 channels; of several pages, each should be one channel");
  says({.samples = 3, .pages = 3, .photometric = PHOTOMETRIC_RGB}, "page 1 of 3 has 3 channels");
}

TEST(ReadTiff, PagesOfAStackAreAlike) {
  const TempDir dir;
  const auto stack = [&](const TiffKind& second) {
    const auto zero = [](uint32_t, uint32_t, uint32_t, uint32_t) { return 0U; };
    fs::remove(dir / "s.tif");
    write_tiff(dir / "s.tif", {}, zero);
    TiffKind more = second;
    more.mode = "a";
    return error_of(write_tiff(dir / "s.tif", more, zero));
  };
  EXPECT_EQ(stack({}), "");
  EXPECT_THAT(stack({.width = 36}), HasSubstr("page 2 has 36x29 pixels, but the first 37x29"));
  EXPECT_THAT(stack({.bits = 16}), HasSubstr("page 2 has 16 bits, but the first 8"));
}

/// The place of a tag's value in a little-endian TIFF of one page.
size_t value_at(const std::string& tiff, uint16_t tag) {
  const auto number = [&](size_t at, size_t count) {
    size_t value = 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | static_cast<uint8_t>(tiff[at + i]);
    return value;
  };
  const size_t directory = number(4, 4);
  for (size_t i = 0; i < number(directory, 2); ++i)
    if (number(directory + 2 + 12 * i, 2) == tag) return directory + 2 + 12 * i + 8;
  return directory + 2 + 12 * number(directory, 2);  // the next directory's place
}

std::string patched(std::string tiff, uint16_t tag, uint32_t value) {
  const size_t at = value_at(tiff, tag);
  for (size_t i = 0; i < 4; ++i) tiff[at + i] = static_cast<char>(value >> (8 * i));
  return tiff;
}

TEST(ReadTiff, PagesThatGoRoundInACircleAreAnError) {
  const TempDir dir;
  const std::string tiff = test::read_file(write(dir, {.mode = "wl"}));
  uint32_t first = 0;
  std::memcpy(&first, tiff.data() + 4, 4);
  EXPECT_NE(error_of(dir.write("c.tif", patched(tiff, 0, first))), "");
  EXPECT_NE(error_of(dir.write("c.tif", patched(tiff, 0, 1U << 30))), "") << "a page beyond the end";
}

TEST(ReadTiff, HugeSizesAreAnErrorBeforeMemoryIsAskedFor) {
  const TempDir dir;
  const std::string strips = test::read_file(write(dir, {.mode = "wl"}));
  const std::string wide =
      patched(patched(strips, TIFFTAG_IMAGEWIDTH, 1 << 15), TIFFTAG_IMAGELENGTH, 1 << 14);
  EXPECT_THAT(error_of(dir.write("h.tif", wide)),
              HasSubstr("32768x16384 pixels is more than a picture may have"));
  const std::string eight = test::read_file(write(dir, {.samples = 8, .mode = "wl"}));
  EXPECT_THAT(error_of(dir.write("h.tif", patched(patched(eight, TIFFTAG_IMAGEWIDTH, 1 << 14),
                                                  TIFFTAG_IMAGELENGTH, (1 << 13) + 1))),
              HasSubstr("more than a picture may have (1073741824 values)"));
  const std::string tiles = test::read_file(write(dir, {.tile = 16, .mode = "wl"}));
  EXPECT_NE(error_of(dir.write(
                "h.tif", patched(patched(tiles, TIFFTAG_TILEWIDTH, 1 << 16), TIFFTAG_TILELENGTH, 1 << 14))),
            "");
  EXPECT_THAT(
      error_of(dir.write(
          "h.tif", patched(patched(strips, TIFFTAG_IMAGEWIDTH, 1 << 14), TIFFTAG_IMAGELENGTH, 1 << 14))),
      HasSubstr(fmt::format("its {} bytes cannot be 16384x16384 pixels of 1 channels", strips.size())));
  for (const uint32_t size : {0U, 0xFFFFFFFFU})
    EXPECT_NE(error_of(dir.write("h.tif", patched(strips, TIFFTAG_IMAGEWIDTH, size))), "");
  EXPECT_NE(error_of(dir.write("h.tif", patched(strips, TIFFTAG_COMPRESSION, 50123))), "");
}

const TiffKind kHostile[] = {
    {.bits = 16, .mode = "wl"},
    {.samples = 3, .bits = 16, .compression = COMPRESSION_LZW, .separate = true, .mode = "wb"},
    {.pages = 3,
     .bits = 16,
     .compression = COMPRESSION_ADOBE_DEFLATE,
     .tile = 16,
     .mode = "w8",
     .predictor = true},
    {.samples = 3, .photometric = PHOTOMETRIC_RGB, .compression = COMPRESSION_PACKBITS, .tile = 16},
    {.samples = 3, .photometric = PHOTOMETRIC_RGB, .compression = COMPRESSION_JPEG},
};

/// Grey in one strip behind its directory, as some microscopes write: the directory is whole where data is cut.
std::string directory_first(uint32_t side) {
  const auto le = [](uint64_t value, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  const std::pair<uint16_t, uint32_t> entries[] = {{TIFFTAG_IMAGEWIDTH, side},
                                                   {TIFFTAG_IMAGELENGTH, side},
                                                   {TIFFTAG_BITSPERSAMPLE, 8},
                                                   {TIFFTAG_COMPRESSION, COMPRESSION_NONE},
                                                   {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK},
                                                   {TIFFTAG_STRIPOFFSETS, 8 + 2 + 9 * 12 + 4},
                                                   {TIFFTAG_SAMPLESPERPIXEL, 1},
                                                   {TIFFTAG_ROWSPERSTRIP, side},
                                                   {TIFFTAG_STRIPBYTECOUNTS, side * side}};
  std::string tiff = "II*" + le(0, 1) + le(8, 4) + le(std::size(entries), 2);
  for (const auto& [tag, value] : entries) tiff += le(tag, 2) + le(TIFF_LONG, 2) + le(1, 4) + le(value, 4);
  return tiff + le(0, 4) + std::string(side * side, 'x');
}

TEST(ReadTiff, MissingPixelsAreAnErrorWhereTheDirectoryIsWhole) {
  const TempDir dir;
  const std::string whole = directory_first(32);
  EXPECT_EQ(read_image(dir.write("a.tif", whole)).pixels, std::vector<uint8_t>(1024, 'x'));
  for (size_t size = 122; size < whole.size(); ++size) {
    const fs::path cut = dir.write("cut.tif", whole.substr(0, size));
    ASSERT_THAT(error_of(cut), HasSubstr("is corrupted, truncated")) << size;
    ASSERT_EQ(read_image_info(cut).width, 32);
  }
}

/// Element `i` of a tag whose values lie elsewhere, in a little-endian TIFF of one page.
std::string patched_element(std::string tiff, uint16_t tag, size_t i, uint32_t value) {
  uint32_t at = 0;
  std::memcpy(&at, tiff.data() + value_at(tiff, tag), sizeof at);
  const size_t size = tiff[value_at(tiff, tag) - 6] == TIFF_SHORT ? 2 : 4;
  std::memcpy(tiff.data() + at + i * size, &value, size);
  return tiff;
}

// A camera's program that was stopped leaves such; libtiff would read what lies at the offset all the same.
TEST(ReadTiff, StripsAndTilesThatAreNotInTheFileAreAnError) {
  const TempDir dir;
  for (const uint16_t compression : {uint16_t{COMPRESSION_NONE}, uint16_t{COMPRESSION_LZW}}) {
    const std::string strips = test::read_file(write(dir, {.compression = compression, .mode = "wl"}));
    const std::string tiles =
        test::read_file(write(dir, {.compression = compression, .tile = 16, .mode = "wl"}));
    for (const uint32_t block : {0U, 2U}) {
      const auto strip = patched_element(strips, TIFFTAG_STRIPOFFSETS, block, 0);
      EXPECT_THAT(error_of(dir.write("s.tif", strip)),
                  HasSubstr(fmt::format("(strip {} of its pixels is not in the file)", block)));
      const auto tile = patched_element(tiles, TIFFTAG_TILEOFFSETS, block, 0);
      EXPECT_THAT(error_of(dir.write("t.tif", tile)),
                  HasSubstr(fmt::format("(tile {} of its pixels is not in the file)", block)));
      const auto uncounted = dir.write("t.tif", patched_element(tiles, TIFFTAG_TILEBYTECOUNTS, block, 0));
      if (compression == COMPRESSION_NONE) {
        EXPECT_EQ(error_of(uncounted), "") << "its pixels are where the directory says";
      } else {
        EXPECT_THAT(error_of(uncounted),
                    HasSubstr(fmt::format("(tile {} of its pixels is not in the file)", block)));
      }
    }
    EXPECT_THAT(error_of(dir.write("s.tif", patched(strips, TIFFTAG_IMAGELENGTH, 33))),
                HasSubstr("is corrupted"))
        << "the last of five strips is of one row, not five";
    EXPECT_THAT(error_of(dir.write("s.tif", patched(strips, TIFFTAG_IMAGELENGTH, 36))),
                HasSubstr("is corrupted"))
        << "there is no sixth strip";
  }
}

// Some programs write such, and libtiff guesses.
TEST(ReadTiff, StripsOfWrongSizesAreReadWhereTheirPixelsAreThere) {
  const TempDir dir;
  const std::string strips = test::read_file(write(dir, {.mode = "wl"}));
  const std::vector<uint8_t> pixels = read_image(dir / "a.tif").pixels;
  const fs::path wrong = dir.write("s.tif", patched_element(strips, TIFFTAG_STRIPBYTECOUNTS, 1, 200));
  EXPECT_EQ(read_image(wrong).pixels, pixels);
}

TEST(ReadTiff, ATruncatedFileIsAnError) {
  const TempDir dir;
  for (const TiffKind& kind : kHostile) {
    const std::string whole = test::read_file(write(dir, kind));
    ASSERT_EQ(error_of(dir / "a.tif"), "");
    for (size_t part = 1; part < 16; ++part)
      EXPECT_NE(error_of(dir.write("cut.tif", whole.substr(0, whole.size() * part / 16))), "") << part;
    EXPECT_NE(error_of(dir.write("cut.tif", whole.substr(0, 4))), "");
    EXPECT_NE(error_of(dir.write("cut.tif", whole.substr(0, whole.size() - 1))), "");
  }
}

TEST(ReadTiff, ChangedBytesDoNoHarm) {
  const TempDir dir;
  Philox random(11);
  int errors = 0, images = 0;
  for (const TiffKind& kind : kHostile) {
    const std::string whole = test::read_file(write(dir, kind));
    for (int i = 0; i < 200; ++i) {
      std::string changed = whole;
      // Half of them among the directory and what it points to, at the end.
      const size_t span = i % 2 == 0 ? whole.size() : std::min<size_t>(whole.size(), 400);
      changed[whole.size() - 1 - random.below(static_cast<uint32_t>(span))] ^=
          static_cast<char>(1 + random.below(255));
      const fs::path file = dir.write("changed.tif", changed);
      ++(error_of(file).empty() ? images : errors);
      (void)test::message_of<Error>([&] { read_image_info(file); });
    }
  }
  EXPECT_GT(errors, 100);
  EXPECT_GT(images, 100);
}

TEST(ReadTiff, TheNameDecidesWhatIsListedAndTheContentWhatIsRead) {
  const TempDir dir;
  for (const char* name : {"a.tif", "a.TIFF", "b.tiff", "c.Tif"})
    EXPECT_TRUE(has_image_extension(name)) << name;
  EXPECT_FALSE(has_image_extension("a.tfw"));
  fs::rename(write(dir, {}), dir / "a.png");
  EXPECT_EQ(read_image(dir / "a.png").pixels, expected({}, 1).pixels);
}

}  // namespace
}  // namespace cytograd
