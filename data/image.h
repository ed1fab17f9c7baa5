// Pictures on disk: reading PNG, JPEG, BMP and TIFF, writing PNG.
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
  int64_t bits = 8;             // of a value in the file, the most of several: 8 or 16
};

/// How 16-bit pictures become 8 bits: a value v is min(255, round(v * 255 / white)), halves up. One `white` for all
/// images of a dataset, or what differs between them is lost. Pictures of 8 bits are taken as they are.
struct ReadOptions {
  int32_t white = 65535;  ///< 16-bit level that becomes 255; 1 to 65535
};

/// From the header alone: size, channels as read_image returns them, bits of a value in the file. Throws Error as
/// read_image does, but a truncated file passes where its header is whole.
struct ImageInfo {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t bits = 8;  ///< 8 or 16
};
ImageInfo read_image_info(const std::filesystem::path& file);

/// "64 x 48", width first.
std::string size_text(const ImageInfo& info);

/// Decodes a picture. The format is told by the content, not by the name. PNG, JPEG and BMP are grey or RGB: alpha is
/// dropped, grey + alpha becomes grey; a palette is RGB, but grey in a BMP whose colours all are. A TIFF has 1 to 8
/// channels: RGB, or the samples of a grey page, or its grey pages in order. Throws Error naming the file where it is
/// absent, unreadable, a folder, empty, not a picture, truncated, corrupted (a wrong PNG checksum), a TIFF of other
/// than unsigned 8 or 16 bits or of a palette, or larger than 2^28 pixels (with channels, 2^30 values). Throws
/// CheckError where `white` is out of range.
Image read_image(const std::filesystem::path& file, const ReadOptions& options = {});

/// Joins single-channel files of one size into one image, channel c from files[c]; one file is read as it is.
/// Throws Error where a file is unreadable, sizes differ, or one of several files is not grey.
Image read_planes(const std::vector<std::string>& files, const ReadOptions& options = {});

/// The greatest value in the file as it is stored, of 8 or 16 bits; of a min-is-white TIFF, after it is inverted.
/// Throws Error as read_image.
int32_t brightest_value(const std::filesystem::path& file);

/// Whether the name ends as those of pictures do: .png, .jpg, .jpeg, .bmp, .tif or .tiff, in any case.
bool has_image_extension(const std::filesystem::path& name);

/// Writes a PNG of 1 or 3 channels as an AtomicFile, so that `file` is the old or the new picture, whole. Throws
/// Error where it cannot (no such folder, a full disk), and leaves nothing behind.
void write_png(const std::filesystem::path& file, const Image& image);

}  // namespace cytograd
