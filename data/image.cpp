#include "data/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include "data/image_format.h"
#include "data/jpeg_decode.h"
#include "data/lower_case.h"
#include "data/png_decode.h"
#include "data/raw_image.h"
#include "data/stb.h"
#include "data/tiff.h"
#include "data/white_table.h"
#include "engine/atomic_file.h"
#include "engine/check.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPngDepthAt = 24;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

struct FreePixels {
  void operator()(void* pixels) const { stbi_image_free(pixels); }
};

/// A picture that cannot be read is skipped; without descriptors or memory it is none, and the next is none either.
[[noreturn]] void fail_to_read(const fs::path& file, const std::error_code& reason) {
  for (const std::errc exhausted : {std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
                                    std::errc::not_enough_memory}) {
    if (reason == exhausted) throw std::system_error(reason, file.string());
  }
  fail("{}: cannot be read: {}", file.string(), reason.message());
}

[[noreturn]] void fail_to_read(const fs::path& file) { fail_to_read(file, {errno, std::generic_category()}); }

/// Opens a regular file of at least one byte for reading.
File open_picture(const fs::path& file, uintmax_t& size) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) fail("{}: no such file", file.string());
  if (error) fail_to_read(file, error);
  if (fs::is_directory(status)) fail("{}: is a folder, not a picture", file.string());
  if (!fs::is_regular_file(status)) fail("{}: is not a regular file", file.string());
  size = fs::file_size(file, error);
  if (error) fail_to_read(file, error);
  if (size == 0) fail("{}: is empty", file.string());
  if (size > static_cast<uintmax_t>(std::numeric_limits<int>::max()))
    fail("{}: is larger than a picture may be ({} bytes)", file.string(), size);
  File opened(std::fopen(file.c_str(), "rb"));
  if (!opened) fail_to_read(file);
  return opened;
}

std::vector<uint8_t> read_bytes(const fs::path& file, std::FILE* opened, size_t count) {
  std::vector<uint8_t> bytes(count);
  const size_t got = std::fread(bytes.data(), 1, count, opened);
  if (std::ferror(opened) != 0) fail_to_read(file);
  bytes.resize(got);
  return bytes;
}

/// By stb_image, which gives the height of a BMP whose top row comes first as a negative one, and counts three channels
/// for any palette.
ImageInfo info_of(std::span<const uint8_t> start, int width, int height, int channels) {
  return {std::abs(int64_t{height}), width, channels <= 2 || is_grey_bmp(start) ? 1 : 3};
}

/// Checks the extent that the header claims.
ImageInfo checked(const fs::path& file, const ImageInfo& info) {
  if (info.width <= 0 || info.height <= 0)
    fail("{}: has no pixels ({}x{})", file.string(), info.width, info.height);
  if (info.height > kMostPixels / info.width)
    fail("{}: {}x{} pixels is more than a picture may have ({})", file.string(), info.width, info.height,
         kMostPixels);
  return info;
}

int64_t bits_of(ImageFormat format, std::span<const uint8_t> start) {
  return format == ImageFormat::png && start.size() > kPngDepthAt && start[kPngDepthAt] == 16 ? 16 : 8;
}

// stb_image's own reason is left out: it tries one format after the other and often names another's complaint.
[[noreturn]] void fail_to_decode(const fs::path& file) {
  const char* const reason = stbi_failure_reason();
  if (reason != nullptr && std::strcmp(reason, "outofmem") == 0) fail_for_memory(file.string());
  fail("{}: is corrupted, or a kind of picture that is not supported", file.string());
}

/// PNG and BMP. stb_image looks at the header, and decodes what decode_png leaves to it.
RawImage decode_by_stb(const fs::path& file, ImageFormat format, std::span<const uint8_t> bytes) {
  const int length = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(bytes.data(), length, &width, &height, &channels) == 0) fail_to_decode(file);
  const ImageInfo info = checked(file, info_of(bytes, width, height, channels));
  RawImage image{.info = info, .bytes = {}, .levels = {}};
  image.info.bits = bits_of(format, bytes);
  if (format == ImageFormat::png) {
    if (std::optional<RawImage> decoded = decode_png(file.string(), bytes)) return std::move(*decoded);
  }
  const auto wanted = static_cast<int>(image.info.channels);
  const auto take = [&](auto* decoded, auto& values) {
    const std::unique_ptr<std::remove_pointer_t<decltype(decoded)>, FreePixels> pixels(decoded);
    if (!pixels) fail_to_decode(file);
    CHECK(width == image.info.width && height == image.info.height, "{}: {}x{}", file.string(), width,
          height);
    values.assign(decoded, decoded + image.info.height * image.info.width * wanted);
  };
  if (image.info.bits == 16)
    take(stbi_load_16_from_memory(bytes.data(), length, &width, &height, &channels, wanted), image.levels);
  else
    take(stbi_load_from_memory(bytes.data(), length, &width, &height, &channels, wanted), image.bytes);
  return image;
}

RawImage decode(const fs::path& file) {
  uintmax_t size = 0;
  const File opened = open_picture(file, size);
  const std::vector<uint8_t> bytes = read_bytes(file, opened.get(), size);
  const ImageFormat format = image_format(bytes);
  if (const std::string flaw = picture_flaw(format, bytes); !flaw.empty())
    fail("{}: {}", file.string(), flaw);
  if (format == ImageFormat::tiff) return read_tiff(file.string(), bytes);
  if (format == ImageFormat::jpeg)
    return decode_jpeg(file.string(), bytes, checked(file, jpeg_info(file.string(), bytes)));
  return decode_by_stb(file, format, bytes);
}

}  // namespace

ImageInfo read_image_info(const fs::path& file) {
  uintmax_t size = 0;
  const File opened = open_picture(file, size);
  const std::vector<uint8_t> start = read_bytes(file, opened.get(), kImageStartBytes);
  const ImageFormat format = image_format(start);
  if (format == ImageFormat::unknown) fail("{}: {}", file.string(), picture_flaw(format, start));
  if (format == ImageFormat::tiff) {
    const auto read = [&](uint64_t at, void* to, size_t count) -> size_t {
      if (fseeko(opened.get(), static_cast<off_t>(at), SEEK_SET) != 0) return 0;
      return std::fread(to, 1, count, opened.get());
    };
    return tiff_info(file.string(), {size, read});
  }
  std::rewind(opened.get());
  if (format == ImageFormat::jpeg)
    return checked(file, jpeg_info(file.string(), read_bytes(file, opened.get(), size)));
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_file(opened.get(), &width, &height, &channels) == 0) fail_to_decode(file);
  ImageInfo info = checked(file, info_of(start, width, height, channels));
  info.bits = bits_of(format, start);
  return info;
}

Image read_image(const fs::path& file, const ReadOptions& options) {
  CHECK(options.white >= 1 && options.white <= 65535, "white is {}", options.white);
  RawImage raw = decode(file);
  Image image{raw.info.height, raw.info.width, raw.info.channels, std::move(raw.bytes), raw.info.bits};
  if (raw.info.bits == 8) return image;
  const std::vector<uint8_t> table = white_table(options.white);
  image.pixels.resize(raw.levels.size());
  std::transform(raw.levels.begin(), raw.levels.end(), image.pixels.begin(),
                 [&](uint16_t level) { return table[level]; });
  return image;
}

std::string size_text(const ImageInfo& info) { return fmt::format("{} x {}", info.width, info.height); }

int32_t brightest_value(const fs::path& file) {
  const RawImage raw = decode(file);
  if (raw.info.bits == 8) return *std::max_element(raw.bytes.begin(), raw.bytes.end());
  return *std::max_element(raw.levels.begin(), raw.levels.end());
}

Image read_planes(const std::vector<std::string>& files, const ReadOptions& options) {
  CHECK(!files.empty());
  if (files.size() == 1) return read_image(files[0], options);
  const size_t channels = files.size();
  Image image;
  int64_t bits = 8;
  for (size_t c = 0; c < channels; ++c) {
    const Image plane = read_image(files[c], options);
    if (plane.channels != 1)
      fail("{}: is a colour picture, but one channel of {} should be grey", files[c], channels);
    if (c == 0) {
      image = {plane.height, plane.width, static_cast<int64_t>(channels), {}};
      image.pixels.resize(plane.pixels.size() * channels);
    }
    if (plane.height != image.height || plane.width != image.width)
      fail("{}: has {}x{} pixels, but {} has {}x{}", files[c], plane.width, plane.height, files[0],
           image.width, image.height);
    for (size_t i = 0; i < plane.pixels.size(); ++i) image.pixels[i * channels + c] = plane.pixels[i];
    bits = std::max(bits, plane.bits);
  }
  image.bits = bits;
  return image;
}

bool has_image_extension(const fs::path& name) {
  const std::string extension = to_lower(name.extension().string());
  constexpr std::array<std::string_view, 6> known{".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

void write_png(const fs::path& file, const Image& image) {
  CHECK(image.channels == 1 || image.channels == 3, "{} channels", image.channels);
  CHECK(image.height > 0 && image.width > 0 && image.height <= kMostPixels / image.width, "{}x{}",
        image.width, image.height);
  CHECK(static_cast<int64_t>(image.pixels.size()) == image.height * image.width * image.channels, "{} bytes",
        image.pixels.size());
  std::vector<uint8_t> png;
  const auto take = [](void* context, void* data, int size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    static_cast<std::vector<uint8_t>*>(context)->assign(bytes, bytes + size);
  };
  const int width = static_cast<int>(image.width), height = static_cast<int>(image.height);
  const int channels = static_cast<int>(image.channels);
  if (stbi_write_png_to_func(take, &png, width, height, channels, image.pixels.data(), width * channels) == 0)
    fail("{}: cannot be encoded as PNG", file.string());

  AtomicFile output(file, Durability::cached);  // waiting for the disk would cost more than drawing a picture
  output.write(png.data(), png.size());
  output.commit();
}

}  // namespace cytograd
