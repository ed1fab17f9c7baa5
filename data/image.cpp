#include "data/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string_view>

#include "data/image_format.h"
#include "data/stb.h"
#include "engine/atomic_file.h"
#include "engine/check.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPngHeaderBytes = 26;  // up to bit depth and colour type, the last two
constexpr int64_t kMostPixels = int64_t{1} << 28;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

struct FreePixels {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

/// Opens a regular file of at least one byte for reading.
File open_picture(const fs::path& file, uintmax_t& size) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) fail("{}: no such file", file.string());
  if (error) fail("{}: cannot be read: {}", file.string(), error.message());
  if (fs::is_directory(status)) fail("{}: is a folder, not a picture", file.string());
  if (!fs::is_regular_file(status)) fail("{}: is not a regular file", file.string());
  size = fs::file_size(file, error);
  if (error) fail("{}: cannot be read: {}", file.string(), error.message());
  if (size == 0) fail("{}: is empty", file.string());
  if (size > static_cast<uintmax_t>(std::numeric_limits<int>::max()))
    fail("{}: is larger than a picture may be ({} bytes)", file.string(), size);
  File opened(std::fopen(file.c_str(), "rb"));
  if (!opened) fail("{}: cannot be read: {}", file.string(), std::strerror(errno));
  return opened;
}

std::vector<uint8_t> read_bytes(const fs::path& file, std::FILE* opened, size_t count) {
  std::vector<uint8_t> bytes(count);
  const size_t got = std::fread(bytes.data(), 1, count, opened);
  if (std::ferror(opened) != 0) fail("{}: cannot be read: {}", file.string(), std::strerror(errno));
  bytes.resize(got);
  return bytes;
}

/// Checks what the header claims; channels become 1 or 3.
ImageInfo checked_info(const fs::path& file, int width, int height, int channels) {
  const ImageInfo info{height, width, channels <= 2 ? 1 : 3};
  if (width <= 0 || height <= 0) fail("{}: has no pixels ({}x{})", file.string(), width, height);
  if (info.height > kMostPixels / info.width)
    fail("{}: {}x{} pixels is more than a picture may have ({})", file.string(), width, height, kMostPixels);
  return info;
}

// A camera of 12 bits stores 0 to 4095 in 16: the high byte alone, which stb_image would keep, is 0 to 15.
void require_eight_bits(const fs::path& file, ImageFormat format, std::span<const uint8_t> start) {
  if (format != ImageFormat::png || start.size() < kPngHeaderBytes || start[kPngHeaderBytes - 2] != 16)
    return;
  fail("{}: is a 16-bit image; convert to 8 bits, with one scale for all images of a channel", file.string());
}

// stb_image's own reason is left out: it tries one format after the other and often names another's complaint.
[[noreturn]] void fail_to_decode(const fs::path& file) {
  fail("{}: is corrupted, or a kind of picture that is not supported", file.string());
}

}  // namespace

ImageInfo read_image_info(const fs::path& file) {
  uintmax_t size = 0;
  const File opened = open_picture(file, size);
  const std::vector<uint8_t> start = read_bytes(file, opened.get(), kPngHeaderBytes);
  const ImageFormat format = image_format(start);
  if (format == ImageFormat::unknown) fail("{}: {}", file.string(), picture_flaw(format, start));
  require_eight_bits(file, format, start);
  std::rewind(opened.get());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_file(opened.get(), &width, &height, &channels) == 0) fail_to_decode(file);
  return checked_info(file, width, height, channels);
}

Image read_image(const fs::path& file) {
  uintmax_t size = 0;
  const File opened = open_picture(file, size);
  const std::vector<uint8_t> bytes = read_bytes(file, opened.get(), size);
  const ImageFormat format = image_format(bytes);
  if (const std::string flaw = picture_flaw(format, bytes); !flaw.empty())
    fail("{}: {}", file.string(), flaw);
  require_eight_bits(file, format, bytes);
  const int length = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(bytes.data(), length, &width, &height, &channels) == 0) fail_to_decode(file);
  const ImageInfo info = checked_info(file, width, height, channels);
  const std::unique_ptr<stbi_uc, FreePixels> pixels(stbi_load_from_memory(
      bytes.data(), length, &width, &height, &channels, static_cast<int>(info.channels)));
  if (!pixels) fail_to_decode(file);
  CHECK(width == info.width && height == info.height, "{}: {}x{}", file.string(), width, height);
  return {info.height, info.width, info.channels,
          std::vector<uint8_t>(pixels.get(), pixels.get() + info.height * info.width * info.channels)};
}

Image read_planes(const std::vector<std::string>& files) {
  CHECK(!files.empty());
  if (files.size() == 1) return read_image(files[0]);
  const size_t channels = files.size();
  Image image;
  for (size_t c = 0; c < channels; ++c) {
    const Image plane = read_image(files[c]);
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
  }
  return image;
}

bool has_image_extension(const fs::path& name) {
  std::string extension = name.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  constexpr std::array<std::string_view, 4> known{".png", ".jpg", ".jpeg", ".bmp"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

void write_png(const fs::path& file, const Image& image) {
  CHECK(image.channels == 1 || image.channels == 3, "{} channels", image.channels);
  CHECK(image.height > 0 && image.width > 0 && image.height <= kMostPixels / image.width, "{}x{}",
        image.width, image.height);
  CHECK(static_cast<int64_t>(image.pixels.size()) == image.height * image.width * image.channels, "{} bytes",
        image.pixels.size());
  std::vector<uint8_t> png;
  const auto append = [](void* context, void* data, int size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    static_cast<std::vector<uint8_t>*>(context)->assign(bytes, bytes + size);
  };
  const int width = static_cast<int>(image.width), height = static_cast<int>(image.height);
  const int channels = static_cast<int>(image.channels);
  if (stbi_write_png_to_func(append, &png, width, height, channels, image.pixels.data(), width * channels) ==
      0)
    fail("{}: cannot be encoded as PNG", file.string());

  AtomicFile output(file, Durability::cached);  // waiting for the disk would cost more than drawing a picture
  output.write(png.data(), png.size());
  output.commit();
}

}  // namespace cytograd
