#include "data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <system_error>

#include "data/brightness.h"
#include "data/white_table.h"
#include "engine/check.h"
#include "tests/support/png_chunks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using test::make_png;
using test::message_of;
using test::TempDir;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// What read_image says of a file: "file: what is wrong" on one line, and "" where it reads it.
std::string error_of(const fs::path& file) {
  const std::string message = test::message_of<Error>([&] { read_image(file); });
  EXPECT_THAT(message, AnyOf("", StartsWith(file.string() + ": ")));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

Image gradient(int64_t height, int64_t width, int64_t channels) {
  Image image{height, width, channels, {}};
  for (int64_t i = 0; i < height * width * channels; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * 7 + i / 31));
  return image;
}

void expect_equal(const Image& a, const Image& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.channels, b.channels);
  EXPECT_TRUE(a.pixels == b.pixels);
}

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

/// A baseline JPEG of 8x8 grey pixels in YCbCr, whose 4:1:0 sampling (4x2, 1x1, 1x1) has no name in libjpeg-turbo.
std::string jpeg_410() {
  const auto table = [](int kind) {  // code 0 is value 0: no bits, or the end of a block
    return bytes({0xFF, 0xC4, 0, 20, kind, 1}) + std::string(16, '\0');
  };
  return bytes({0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}) + std::string(64, 1) +
         bytes({0xFF, 0xC0, 0, 17, 8, 0, 8, 0, 8, 3, 1, 0x42, 0, 2, 0x11, 0, 3, 0x11, 0}) + table(0x00) +
         table(0x10) + bytes({0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0}) +
         bytes({0, 0, 0x0F, 0xFF, 0xD9});  // ten blocks of two bits
}

/// A baseline grey JPEG of 8x8 pixels of value 128 + 4 = 132: one block with a DC term alone.
std::string tiny_jpeg() {
  return bytes({0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}) + std::string(64, 1) +            // quantisation by 1
         bytes({0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0}) +                  // 8x8, one component
         bytes({0xFF, 0xC4, 0, 20, 0x00, 1}) + std::string(15, '\0') + bytes({6}) +  // DC: code 0 is 6 bits
         bytes({0xFF, 0xC4, 0, 20, 0x10, 1}) + std::string(15, '\0') +
         bytes({0}) +  // AC: code 0 ends a block
         bytes({0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0b01000000, 0b01111111, 0xFF, 0xD9});  // 32 / 8 = 4, end
}

/// An 8-bit BMP with a grey palette, bottom row first.
std::string tiny_bmp(uint32_t colours = 256) {
  const auto le = [](uint64_t value, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  std::string palette;
  for (uint32_t v = 0; v < colours; ++v) palette += le(v * 0x010101, 4);
  const std::string rows = std::string("\x03\x04\0\0", 4) + std::string("\x01\x02\0\0", 4);
  const uint32_t offset = 54 + 4 * colours;
  return "BM" + le(offset + 8, 4) + le(0, 4) + le(offset, 4) + le(40, 4) + le(2, 4) + le(2, 4) + le(1, 2) +
         le(8, 2) + le(0, 4) + le(8, 4) + le(0, 8) + le(0, 8) + palette + rows;
}

TEST(WritePng, ReadsBackAsWritten) {
  const TempDir dir;
  for (const int64_t channels : {1, 3})
    for (const int64_t size : {1, 7, 64}) {
      const Image image = gradient(size, size + 3, channels);
      write_png(dir / "a.png", image);
      expect_equal(read_image(dir / "a.png"), image);
      const ImageInfo info = read_image_info(dir / "a.png");
      EXPECT_EQ(info.height, size);
      EXPECT_EQ(info.width, size + 3);
      EXPECT_EQ(info.channels, channels);
    }
}

TEST(WritePng, ReplacesAFileAndLeavesNothingElse) {
  const TempDir dir;
  write_png(dir / "a.png", gradient(4, 4, 1));
  write_png(dir / "a.png", gradient(5, 5, 3));
  expect_equal(read_image(dir / "a.png"), gradient(5, 5, 3));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
}

TEST(WritePng, NamesTheFileWhereTheFolderIsAbsent) {
  const TempDir dir;
  const fs::path file = dir / "none/a.png";
  EXPECT_EQ(test::message_of<Error>([&] { write_png(file, gradient(2, 2, 1)); }),
            file.string() + ": cannot write: No such file or directory");
}

// A limit on the size of files stands in for a full disk: the write stops half way.
TEST(WritePng, AFailedWriteKeepsTheOldFileAndNoRest) {
  const TempDir dir;
  const Image old = gradient(4, 4, 1);
  write_png(dir / "a.png", old);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = test::message_of<Error>([&] { write_png(dir / "a.png", gradient(64, 64, 3)); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("a.png: cannot write: File too large"));
  expect_equal(read_image(dir / "a.png"), old);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
}

TEST(WhiteTable, IsTheRoundedQuotientForEveryLevel) {
  for (const int32_t white : {1, 2, 3, 254, 255, 256, 257, 509, 510, 511, 4095, 3212, 32767, 65534, 65535}) {
    const std::vector<uint8_t> table = white_table(white);
    ASSERT_EQ(table.size(), 65536U);
    for (int64_t v = 0; v < 65536; ++v)
      ASSERT_EQ(table[v], std::min<int64_t>(255, (2 * 255 * v + white) / (2 * white)))
          << v << " of " << white;
  }
  EXPECT_THROW(white_table(0), CheckError);
  EXPECT_THROW(white_table(65536), CheckError);
}

TEST(ReadImage, SixteenBitsAreScaledByWhite) {
  const TempDir dir;
  // Levels 0x1234, 0x0FA0 and 0xFFFF; as grey with alpha the second is the alpha, as RGB they are one pixel.
  const std::string row("\0\x12\x34\x0F\xA0\xFF\xFF\x00\x80", 9);
  const auto read = [&](uint32_t width, char colour, int32_t white, size_t bytes) {
    const auto file = dir.write("a.png", make_png({width, 1, 16, colour}, row.substr(0, 1 + bytes)));
    EXPECT_EQ(read_image_info(file).bits, 16);
    const Image image = read_image(file, {.white = white});
    EXPECT_EQ(read_image_info(file).channels, image.channels);
    return image.pixels;
  };
  EXPECT_THAT(read(3, 0, 65535, 6), ElementsAre(18, 16, 255));  // 18.13, 15.56
  EXPECT_THAT(read(3, 0, 4095, 6), ElementsAre(255, 249, 255));
  EXPECT_THAT(read(2, 4, 65535, 8), ElementsAre(18, 255));
  EXPECT_THAT(read(1, 2, 8000, 6), ElementsAre(149, 128, 255));  // 148.5 and 127.5 and some
  EXPECT_THAT(read(1, 6, 65535, 8), ElementsAre(18, 16, 255));
  EXPECT_EQ(brightest_value(dir / "a.png"), 0xFFFF);
}

TEST(ReadImage, EightBitsIgnoreWhite) {
  const TempDir dir;
  write_png(dir / "a.png", gradient(5, 6, 3));
  EXPECT_EQ(read_image_info(dir / "a.png").bits, 8);
  expect_equal(read_image(dir / "a.png", {.white = 7}), gradient(5, 6, 3));
}

TEST(ReadImage, DropsAlpha) {
  const TempDir dir;
  const Image grey =
      read_image(dir.write("g.png", make_png({1, 1, 8, 4}, std::string_view("\0\x12\x80", 3))));
  EXPECT_EQ(grey.channels, 1);
  EXPECT_THAT(grey.pixels, ElementsAre(0x12));
  const auto file = dir.write("c.png", make_png({1, 1, 8, 6}, std::string_view("\0\x01\x02\x03\x00", 5)));
  EXPECT_THAT(read_image(file).pixels, ElementsAre(1, 2, 3));
  EXPECT_EQ(read_image_info(file).channels, 3);
}

TEST(ReadImage, PalettesBecomeRgb) {
  const TempDir dir;
  const std::string palette = test::png_chunk("PLTE", std::string_view("\x01\x02\x03\x04\x05\x06", 6));
  const Image image =
      read_image(dir.write("p.png", make_png({1, 1, 8, 3}, std::string_view("\0\x01", 2), palette)));
  EXPECT_EQ(image.channels, 3);
  EXPECT_THAT(image.pixels, ElementsAre(4, 5, 6));
}

// stb_image takes such a pixel from memory that nothing has been written to.
TEST(ReadImage, AColourThatThePaletteLacksIsAnError) {
  const TempDir dir;
  const std::string palette = test::png_chunk("PLTE", std::string_view("\x01\x02\x03\x04\x05\x06", 6));
  const auto png = [&](const test::PngHeader& header, std::string_view rows) {
    return error_of(dir.write("p.png", make_png(header, rows, palette)));
  };
  const auto lacks = EndsWith("p.png: is corrupted (its palette lacks the colour of a pixel)");
  EXPECT_EQ(png({2, 1, 8, 3}, {"\0\0\1", 3}), "");
  EXPECT_THAT(png({2, 1, 8, 3}, {"\0\0\2", 3}), lacks);
  EXPECT_THAT(png({2, 1, 8, 3}, {"\1\1\1", 3}), lacks) << "a pixel less the one on its left";
  EXPECT_EQ(png({3, 1, 4, 3}, {"\0\x01\x1F", 3}), "") << "what fills the last byte is no pixel";
  EXPECT_THAT(png({3, 1, 4, 3}, {"\0\x01\x2F", 3}), lacks);
  EXPECT_EQ(png({9, 1, 1, 3}, {"\0\xFF\x80", 3}), "") << "two colours are all there can be";
  EXPECT_EQ(png({2, 1, 8, 3, 1}, {"\0\0\0\1", 4}), "") << "two of seven interlaced passes";
  EXPECT_THAT(png({2, 1, 8, 3, 1}, {"\0\0\0\2", 4}), lacks);
  EXPECT_NE(error_of(dir.write("p.png", make_png({1, 1, 8, 3}, {"\0\0", 2}))), "") << "there is no palette";
  EXPECT_EQ(error_of(dir.write("p.bmp", tiny_bmp(5))), "");
  EXPECT_THAT(error_of(dir.write("p.bmp", tiny_bmp(4))),
              HasSubstr("its palette lacks the colour of a pixel"));
}

TEST(ReadImage, FormatsAreToldByContentNotByName) {
  const TempDir dir;
  const Image jpeg = read_image(dir.write("a.png", tiny_jpeg()));
  EXPECT_EQ(jpeg.channels, 1);
  EXPECT_EQ(jpeg.pixels, std::vector<uint8_t>(64, 132));
  const Image bmp = read_image(dir.write("b.png", tiny_bmp()));
  EXPECT_EQ(bmp.width, 2);
  EXPECT_EQ(bmp.channels, 1);
  EXPECT_THAT(bmp.pixels, ElementsAre(1, 2, 3, 4));
}

TEST(ReadImage, WhatIsNoPictureIsNamed) {
  const TempDir dir;
  EXPECT_THAT(error_of(dir / "none.png"), EndsWith(": no such file"));
  EXPECT_THAT(error_of(dir.path()), EndsWith(": is a folder, not a picture"));
  EXPECT_THAT(error_of(dir.write("empty.png")), EndsWith(": is empty"));
  EXPECT_THAT(error_of(dir.write("text.png", "experiment,plate,well\n")),
              EndsWith(": is not a PNG, JPEG, BMP or TIFF picture"));
  EXPECT_THAT(error_of(dir.write("gif.png", "GIF89a\1\0\1\0")),
              EndsWith(": is not a PNG, JPEG, BMP or TIFF picture"));
  EXPECT_THAT(error_of(dir.write("text.bmp", "BM is how this text starts, and it goes on")),
              HasSubstr("text.bmp: is "));
  EXPECT_THAT(error_of("/dev/zero"), EndsWith(": is not a regular file"));
  EXPECT_THAT(test::message_of<Error>([&] { read_image_info(dir / "text.png"); }), HasSubstr("is not a PNG"));
  EXPECT_THAT(test::message_of<Error>([&] { read_image_info(dir / "none.png"); }), HasSubstr("no such file"));
}

TEST(ReadImage, AFileWithoutReadPermissionIsNamed) {
  const TempDir dir;
  const auto file = dir.write("a.png", make_png({}, std::string_view("\0\1", 2)));
  fs::permissions(dir.path(), fs::perms::all);
  fs::permissions(file, fs::perms::none);
  const bool is_root = geteuid() == 0;  // Root may read all; nobody may not.
  ASSERT_EQ(is_root ? seteuid(65534) : 0, 0);
  const std::string message = error_of(file);
  ASSERT_EQ(is_root ? seteuid(0) : 0, 0);
  EXPECT_THAT(message, EndsWith(": cannot be read: Permission denied"));
}

// A picture that cannot be read is skipped; which ones are must not depend on what else is open.
TEST(ReadImage, LackOfDescriptorsIsNoFaultOfThePicture) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UBSan, which comes with it, looks at objects through a pipe, and takes lack of one for a wrong object";
#endif
  const TempDir dir;
  write_png(dir / "a.png", Image{2, 2, 1, {1, 2, 3, 4}});
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto read = [&] { read_image(dir / "a.png"); };
  EXPECT_THAT(message_of<std::system_error>(read), HasSubstr("a.png: Too many open files"));
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NO_THROW(read());
}

TEST(ReadImage, EveryTruncationOfAFileIsAnError) {
  const TempDir dir;
  write_png(dir / "whole.png", gradient(6, 5, 3));
  const std::string png = test::read_file(dir / "whole.png");
  for (const std::string& whole : {png, tiny_jpeg(), tiny_bmp()})
    for (size_t size = 1; size < whole.size(); ++size)
      ASSERT_NE(error_of(dir.write("cut", whole.substr(0, size))), "")
          << size << " of " << whole.size() << " bytes";
  EXPECT_THAT(error_of(dir.write("cut", png.substr(0, png.size() - 1))),
              EndsWith("truncated (a PNG without its end)"));
}

TEST(ReadImage, AChangedByteInAPngIsAnError) {
  const TempDir dir;
  write_png(dir / "whole.png", gradient(6, 5, 3));
  const std::string png = test::read_file(dir / "whole.png");
  for (size_t i = 0; i < png.size(); ++i) {
    std::string changed = png;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    ASSERT_NE(error_of(dir.write("changed.png", changed)), "") << "byte " << i;
  }
}

TEST(ReadImage, PixelsThatAreNotThereAreAnError) {
  const TempDir dir;
  EXPECT_NE(error_of(dir.write("short.png", make_png({4, 4, 8, 0}, std::string(10, '\0')))), "");
  EXPECT_NE(error_of(dir.write("zero.png", make_png({0, 4, 8, 0}, std::string(10, '\0')))), "");
}

TEST(ReadImage, HugeDimensionsAreAnErrorBeforeMemoryIsAskedFor) {
  const TempDir dir;
  const auto file = dir.write("huge.png", make_png({1 << 15, 1 << 14, 8, 0}, std::string(10, '\0')));
  EXPECT_THAT(error_of(file), HasSubstr("32768x16384 pixels is more than a picture may have"));
  EXPECT_THAT(test::message_of<Error>([&] { read_image_info(file); }), HasSubstr("32768x16384"));
  EXPECT_NE(error_of(dir.write("huger.png", make_png({0x7FFFFFFF, 0x7FFFFFFF, 8, 0}, std::string(10, '\0')))),
            "");
}

/// What the program's memory has ever been, in bytes.
int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} << 10;
}

TEST(ReadImage, AFewBytesThatClaimGigabytesAreAnErrorBeforeMemoryIsAskedFor) {
  const TempDir dir;
  const int64_t before = peak_memory();
  std::string jpeg = tiny_jpeg();
  const size_t size = jpeg.find("\xFF\xC0") + 5;
  jpeg.replace(size, 4, bytes({0x3F, 0xFF, 0x3F, 0xFF}));
  EXPECT_THAT(error_of(dir.write("a.jpg", jpeg)),
              HasSubstr(fmt::format("its {} bytes cannot be 16383x16383 pixels of 1 channels", jpeg.size())));
  const std::string png = make_png({1 << 14, 1 << 14, 8, 0}, std::string(10, '\0'));
  EXPECT_THAT(error_of(dir.write("a.png", png)), HasSubstr("its image data are not as its header says"));
  EXPECT_LT(peak_memory() - before, int64_t{1} << 26);
}

TEST(ReadImage, ABlankJpegOfArithmeticCodeMayBeSmall) {
  const TempDir dir;
  // Grey, 4000x4000 pixels, all of its code three bytes: differences of 0, blocks that end at once.
  const std::string jpeg = bytes({0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}) + std::string(64, 1) +
                           bytes({0xFF, 0xC9, 0, 11, 8, 0x0F, 0xA0, 0x0F, 0xA0, 1, 1, 0x11, 0}) +
                           bytes({0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x1E, 0xB7, 0x80, 0xFF, 0xD9});
  EXPECT_EQ(error_of(dir.write("a.jpg", jpeg)), "");
  EXPECT_EQ(read_image(dir / "a.jpg").pixels, std::vector<uint8_t>(4000 * 4000, 128));
}

TEST(ReadImage, AJpegOfAnySamplingIsRead) {
  const TempDir dir;
  const Image image = read_image(dir.write("a.jpg", jpeg_410()));
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.pixels, std::vector<uint8_t>(3 * 64, 128));
  EXPECT_EQ(read_image_info(dir / "a.jpg").width, 8);
}

TEST(ReadImage, ABmpOfUnknownCompressionIsRefused) {
  const TempDir dir;
  std::string bmp = tiny_bmp();
  EXPECT_EQ(error_of(dir.write("a.bmp", bmp)), "");
  bmp[33] = '\x80';
  EXPECT_THAT(error_of(dir.write("a.bmp", bmp)),
              HasSubstr("a.bmp: is corrupted (a BMP of no known compression)"));
}

TEST(ReadImage, ABmpIsGreyWhereItsColoursAre) {
  const TempDir dir;
  std::string bmp = tiny_bmp();
  EXPECT_EQ(read_image_info(dir.write("a.bmp", bmp)).channels, 1);
  for (const int component : {0, 1, 2}) {  // blue, green, red
    std::string colour = bmp;
    colour[static_cast<size_t>(54 + 4 * 255 + component)] = 9;  // of the last one, which no pixel has
    EXPECT_EQ(read_image_info(dir.write("b.bmp", colour)).channels, 3);
    EXPECT_THAT(read_image(dir / "b.bmp").pixels, ElementsAre(1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4));
  }
  bmp[54 + 3] = 9;  // of no meaning
  EXPECT_EQ(read_image_info(dir.write("a.bmp", bmp)).channels, 1);
  EXPECT_THAT(read_image(dir / "a.bmp").pixels, ElementsAre(1, 2, 3, 4));
}

TEST(ReadImage, ABmpMayBeginWithItsTopRow) {
  const TempDir dir;
  std::string bmp = tiny_bmp();
  bmp.replace(22, 4, bytes({0xFE, 0xFF, 0xFF, 0xFF}));  // a height of -2
  EXPECT_THAT(read_image(dir.write("a.bmp", bmp)).pixels, ElementsAre(3, 4, 1, 2));
  EXPECT_EQ(read_image_info(dir / "a.bmp").height, 2);
}

TEST(ReadImage, AJpegWithoutAllItsCodeIsAnError) {
  const TempDir dir;
  const std::string jpeg = tiny_jpeg(), end = jpeg.substr(jpeg.size() - 2);
  const std::string no_code = jpeg.substr(0, jpeg.size() - 4) + end;
  EXPECT_THAT(error_of(dir.write("a.jpg", no_code)), HasSubstr("premature end of data segment"));
  const std::string no_scan = jpeg.substr(0, jpeg.find("\xFF\xDA")) + end;
  EXPECT_THAT(error_of(dir.write("a.jpg", no_scan)), HasSubstr("missing SOS"));
  EXPECT_THAT(error_of(dir.write("a.jpg", jpeg.substr(0, jpeg.size() - 2))),
              HasSubstr("Premature end of JPEG file"));
  EXPECT_EQ(error_of(dir.write("a.jpg", jpeg + "what comes behind the picture")), "");
}

TEST(ReadImage, AJpegWithAnOverfullHuffmanTableIsAnError) {
  const TempDir dir;
  std::string jpeg = tiny_jpeg();
  const size_t counts = jpeg.find("\xFF\xC4") + 5;
  for (size_t i = 0; i < 16; ++i) jpeg[counts + i] = static_cast<char>(0xFF);
  EXPECT_THAT(error_of(dir.write("a.jpg", jpeg)), HasSubstr("is corrupted"));
  EXPECT_THAT(test::message_of<Error>([&] { read_image_info(dir / "a.jpg"); }),
              HasSubstr("a.jpg: is corrupted"));
}

TEST(ReadPlanes, InterleavesFilesInTheirOrder) {
  const TempDir dir;
  std::vector<std::string> files;
  for (int c = 0; c < 3; ++c) {
    files.push_back(dir / fmt::format("w{}.png", c));
    Image plane{1, 2, 1, {static_cast<uint8_t>(10 * c), static_cast<uint8_t>(10 * c + 1)}};
    write_png(files.back(), plane);
  }
  const Image image = read_planes(files);
  EXPECT_EQ(image.channels, 3);
  EXPECT_THAT(image.pixels, ElementsAre(0, 10, 20, 1, 11, 21));
}

TEST(ReadPlanes, TakesOneToEightFiles) {
  const TempDir dir;
  std::vector<std::string> files;
  std::vector<uint8_t> expected;
  for (int c = 1; c <= 8; ++c) {
    const std::string row{0, 0, static_cast<char>(10 * c)};
    files.push_back(dir.write(fmt::format("{}.png", c), make_png({1, 1, 16, 0}, row)));
    expected.push_back(static_cast<uint8_t>(std::min(255, 51 * c)));
    const Image image = read_planes(files, {.white = 50});
    EXPECT_EQ(image.channels, c);
    EXPECT_EQ(image.pixels, expected);
  }
}

TEST(ReadPlanes, OneFileIsReadAsItIs) {
  const TempDir dir;
  write_png(dir / "a.png", gradient(3, 3, 3));
  expect_equal(read_planes({dir / "a.png"}), gradient(3, 3, 3));
}

TEST(ReadPlanes, NamesThePlaneThatDoesNotFit) {
  const TempDir dir;
  write_png(dir / "a.png", gradient(3, 4, 1));
  write_png(dir / "b.png", gradient(4, 3, 1));
  write_png(dir / "c.png", gradient(3, 4, 3));
  const auto error = [&](const char* second) {
    return test::message_of<Error>([&] { read_planes({dir / "a.png", dir / second}); });
  };
  EXPECT_EQ(error("b.png"),
            fmt::format("{0}/b.png: has 3x4 pixels, but {0}/a.png has 4x3", dir.path().string()));
  EXPECT_THAT(error("c.png"), HasSubstr("c.png: is a colour picture"));
  EXPECT_THAT(error("d.png"), HasSubstr("d.png: no such file"));
}

TEST(ReadPlanes, ReadsARealSite) {
  CYTOGRAD_NEEDS_SAMPLES();
  std::vector<std::string> files;
  for (int c = 1; c <= 6; ++c)
    files.push_back(test::samples_folder() / fmt::format("rxrx1/train/U2OS-01/Plate1/B02_s1_w{}.png", c));
  const Image image = read_planes(files);
  EXPECT_EQ(image.height, 512);
  EXPECT_EQ(image.width, 512);
  EXPECT_EQ(image.channels, 6);
}

TEST(Brightness, ProposesTheWhiteOfAsManyBits) {
  for (const auto& [brightest, white] : {std::pair{0, 1},
                                         {1, 1},
                                         {2, 3},
                                         {1023, 1023},
                                         {1024, 2047},
                                         {4095, 4095},
                                         {4096, 8191},
                                         {65535, 65535}})
    EXPECT_EQ((Brightness{.brightest = brightest}.white()), white) << brightest;
}

TEST(Brightness, IsOfImagesFromAllOfTheDataset) {
  const TempDir dir;
  Dataset dataset;
  for (const char* level : {"1", "2", "3", "4"}) {
    const std::string row = std::string(1, '\0') + level + "0";
    const auto file = dir.write(std::string(level) + ".png", make_png({1, 1, 16, 0}, row));
    dataset.samples.push_back({level, {file.string()}, {}});
  }
  EXPECT_EQ(look_at_brightness(dataset, 2).brightest, '3' * 256 + '0');
  EXPECT_EQ(look_at_brightness(dataset, 9).brightest, '4' * 256 + '0');
  EXPECT_EQ(look_at_brightness(dataset, 9).looked_at, 4);
}

}  // namespace
}  // namespace cytograd
