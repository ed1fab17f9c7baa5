#include "data/png_decode.h"

#include <libdeflate.h>

#include <array>
#include <cstring>
#include <memory>
#include <string_view>

#include "data/image_format.h"
#include "data/png_unfilter.h"
#include "engine/check.h"

namespace cytograd {
namespace {

using Bytes = std::span<const uint8_t>;

enum Colour : uint8_t { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

/// The header and the compressed image data, from as many chunks as there are.
struct Png {
  int64_t width = 0;
  int64_t height = 0;
  uint8_t depth = 0;
  uint8_t colour = 0;
  bool interlaced = false;
  int64_t colours = 0;       // of the palette
  bool transparent = false;  // a colour, or palette entries, of chunk tRNS
  Bytes data;
  std::vector<uint8_t> joined;  // what `data` views, where there are several chunks

  int64_t samples() const {  // of a pixel; a palette's index is one
    return colour == kRgba ? 4 : colour == kRgb ? 3 : colour == kGreyAlpha ? 2 : 1;
  }
  int64_t stride(int64_t pixels) const { return (pixels * samples() * depth + 7) / 8; }
};

[[noreturn]] void fail_corrupted(const std::string& name) {
  fail("{}: is corrupted (its image data are not as its header says)", name);
}

Png parse(const std::string& name, Bytes bytes) {
  Png png;
  std::vector<Bytes> parts;
  size_t size = 0;
  bool is_first = true;
  for (const auto& [type, data] : png_chunks(bytes)) {
    if (is_first != (type == "IHDR") || (is_first && data.size() != 13)) fail_corrupted(name);
    if (is_first) {
      png.width = big_endian(data, 0, 4);
      png.height = big_endian(data, 4, 4);
      png.depth = data[8];
      png.colour = data[9];
      png.interlaced = data[12] != 0;
      is_first = false;
    } else if (type == "IDAT") {
      parts.push_back(data);
      size += data.size();
    } else if (type == "PLTE") {
      png.colours = static_cast<int64_t>(data.size() / 3);
    } else if (type == "tRNS") {
      png.transparent = true;
    } else if ((type[0] & 0x20) == 0 && type != "IEND") {  // upper case: must be understood
      fail("{}: is a kind of PNG that is not supported (it has a critical chunk of its own)", name);
    }
  }
  if (parts.size() == 1) {
    png.data = parts[0];
    return png;
  }
  png.joined.reserve(size);
  for (const Bytes part : parts) png.joined.insert(png.joined.end(), part.begin(), part.end());
  png.data = png.joined;
  return png;
}

struct Extent {
  int64_t height, width;
};

/// Of the image, or of the seven small ones of an interlaced one (Adam7, section 8.2) that have pixels.
std::vector<Extent> passes_of(const Png& png) {
  if (!png.interlaced) return {{png.height, png.width}};
  struct Pass {
    int64_t left, top, across, down;
  };
  constexpr std::array<Pass, 7> kPasses{
      {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
  std::vector<Extent> passes;
  for (const Pass& pass : kPasses) {
    const int64_t columns = (png.width - pass.left + pass.across - 1) / pass.across;
    const int64_t rows = (png.height - pass.top + pass.down - 1) / pass.down;
    if (columns > 0 && rows > 0) passes.push_back({rows, columns});
  }
  return passes;
}

/// Bytes of all rows with their filters.
int64_t inflated_bytes(const Png& png) {
  int64_t bytes = 0;
  for (const Extent& pass : passes_of(png)) bytes += pass.height * (1 + png.stride(pass.width));
  return bytes;
}

std::unique_ptr<uint8_t[]> inflate(const std::string& name, const Png& png) {
  constexpr size_t kMostDeflated = 1032;  // zlib's manual: two bits at the least for a match of 258 bytes
  const auto size = static_cast<size_t>(inflated_bytes(png));
  if (size / kMostDeflated > png.data.size()) fail_corrupted(name);
  auto rows = std::make_unique_for_overwrite<uint8_t[]>(size);
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) throw std::bad_alloc();
  // Without a place for the number of bytes made, neither more nor fewer than `size` pass.
  const libdeflate_result result = libdeflate_zlib_decompress(decompressor.get(), png.data.data(),
                                                              png.data.size(), rows.get(), size, nullptr);
  if (result != LIBDEFLATE_SUCCESS) fail_corrupted(name);
  return rows;
}

/// stb_image does not look whether a pixel's colour is in the palette.
void check_palette(const std::string& name, const Png& png, const uint8_t* rows) {
  for (const Extent& pass : passes_of(png)) {
    const PngRows shape{pass.height, png.stride(pass.width), 1};
    std::vector<uint8_t> indices(static_cast<size_t>(shape.height * shape.stride));
    if (!unfilter_png(rows, shape, indices.data())) fail_corrupted(name);
    if (!IndexRows{indices, shape.height, pass.width, shape.stride, png.depth}.are_below(png.colours))
      fail("{}: is corrupted (its palette lacks the colour of a pixel)", name);
    rows += shape.height * (1 + shape.stride);
  }
}

/// The first `kept` of each pixel's samples, which PNG stores with the high byte first.
template <typename T>
std::vector<T> keep(const uint8_t* bytes, int64_t pixels, int64_t samples, int64_t kept) {
  std::vector<T> values(static_cast<size_t>(pixels * kept));
  T* to = values.data();
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t s = 0; s < kept; ++s) {
      const uint8_t* from = bytes + (i * samples + s) * static_cast<int64_t>(sizeof(T));
      if constexpr (sizeof(T) == 1) {
        *to++ = *from;
      } else {
        *to++ = static_cast<T>(from[0] << 8 | from[1]);
      }
    }
  }
  return values;
}

}  // namespace

std::optional<RawImage> decode_png(const std::string& name, Bytes bytes) {
  const Png png = parse(name, bytes);
  std::unique_ptr<uint8_t[]> rows = inflate(name, png);
  if (png.colour == kPalette) check_palette(name, png, rows.get());
  if (png.interlaced || png.transparent || png.colour == kPalette || png.depth < 8) return std::nullopt;

  const int64_t samples = png.samples(), kept = samples <= 2 ? 1 : 3, pixels = png.height * png.width;
  const PngRows shape{png.height, png.stride(png.width), samples * png.depth / 8};
  std::vector<uint8_t> unfiltered(static_cast<size_t>(png.height * shape.stride));
  if (!unfilter_png(rows.get(), shape, unfiltered.data())) fail_corrupted(name);
  rows.reset();
  RawImage image{.info = {png.height, png.width, kept, png.depth}, .bytes = {}, .levels = {}};
  if (png.depth == 16) {
    image.levels = keep<uint16_t>(unfiltered.data(), pixels, samples, kept);
  } else if (kept < samples) {
    image.bytes = keep<uint8_t>(unfiltered.data(), pixels, samples, kept);
  } else {
    image.bytes = std::move(unfiltered);
  }
  return image;
}

}  // namespace cytograd
