// Pictures on disk: reading u8 PNG, JPEG and BMP, writing PNG. The only place that knows stb_image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cytograd {

/// Interleaved 8-bit pixels: value of (row, column, channel) at (row * width + column) * channels + channel.
struct Image {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<uint8_t> pixels;  // [height, width, channels]
};

/// Size and channels (1 or 3, as read_image returns them) from the header alone; throws Error as read_image
/// does, but a truncated file passes where its header is whole.
struct ImageInfo {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};
ImageInfo read_image_info(const std::filesystem::path& file);

/// Decodes a grey or RGB picture (alpha is dropped, grey + alpha becomes grey). The format is told by the content, not
/// by the name. Throws Error naming the file where it is absent, unreadable, a folder, empty, not a picture, truncated,
/// corrupted (a wrong PNG checksum), of 16 bits, or larger than 2^28 pixels.
Image read_image(const std::filesystem::path& file);

/// Joins single-channel files of one size into one image, channel c from files[c]; one file is read as it is.
/// Throws Error where a file is unreadable, sizes differ, or one of several files is not grey.
Image read_planes(const std::vector<std::string>& files);

/// Whether the name ends as those of pictures do: .png, .jpg, .jpeg or .bmp, in any case.
bool has_image_extension(const std::filesystem::path& name);

/// Writes a PNG of 1 or 3 channels as an AtomicFile, so that `file` is the old or the new picture, whole. Throws
/// Error where it cannot (no such folder, a full disk), and leaves nothing behind.
void write_png(const std::filesystem::path& file, const Image& image);

}  // namespace cytograd
