// TIFFs of any kind, written by libtiff.
#pragma once

#include <tiffio.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace cytograd::test {

struct TiffKind {
  uint32_t width = 37;
  uint32_t height = 29;
  uint16_t samples = 1;
  uint16_t pages = 1;
  uint16_t bits = 8;
  uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  uint16_t compression = COMPRESSION_NONE;
  uint16_t format = SAMPLEFORMAT_UINT;
  uint16_t extra = EXTRASAMPLE_UNSPECIFIED;  ///< what samples beyond one, or beyond RGB, are
  bool alpha_first = false;                  ///< the first of those is alpha, whatever the others are
  bool separate = false;
  uint32_t tile = 0;       ///< side; 0: strips of seven rows
  const char* mode = "w";  ///< "wl", "wb": byte order; "w8": BigTIFF
  bool predictor = false;
};

using TiffValue = std::function<uint32_t(uint32_t page, uint32_t y, uint32_t x, uint32_t sample)>;

namespace detail {

inline void require(bool ok) {
  if (!ok) throw std::runtime_error("libtiff cannot write this");
}

inline void set_fields(TIFF* tiff, const TiffKind& kind) {
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, kind.width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, kind.height);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, int{kind.samples});
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, int{kind.bits});
  TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, int{kind.format});
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, int{kind.photometric});
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, int{kind.compression});
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, kind.separate ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
  if (kind.predictor) TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
  if (kind.photometric == PHOTOMETRIC_PALETTE) {
    std::vector<uint16_t> colours(size_t{1} << kind.bits);
    TIFFSetField(tiff, TIFFTAG_COLORMAP, colours.data(), colours.data(), colours.data());
  }
  const int colours = kind.photometric == PHOTOMETRIC_RGB ? 3 : 1;
  if (kind.samples > colours) {
    std::vector<uint16_t> extras(static_cast<size_t>(kind.samples - colours), kind.extra);
    if (kind.alpha_first) extras[0] = EXTRASAMPLE_UNASSALPHA;
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, static_cast<int>(extras.size()), extras.data());
  }
  if (kind.tile > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, kind.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, kind.tile);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, kind.compression == COMPRESSION_JPEG ? 16U : 7U);
  }
}

}  // namespace detail

/// Values of `kind.bits` (8 or 16, else the low byte of each), in blocks; returns `file`.
inline std::filesystem::path write_tiff(const std::filesystem::path& file, const TiffKind& kind,
                                        const TiffValue& value) {
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(TIFFOpen(file.c_str(), kind.mode), &TIFFClose);
  detail::require(tiff != nullptr);
  for (uint32_t page = 0; page < kind.pages; ++page) {
    detail::set_fields(tiff.get(), kind);
    const uint32_t columns = kind.tile > 0 ? kind.tile : kind.width;
    uint32_t rows = kind.tile;
    if (kind.tile == 0) TIFFGetField(tiff.get(), TIFFTAG_ROWSPERSTRIP, &rows);
    const uint32_t planes = kind.separate ? kind.samples : 1, samples = kind.samples / planes;
    const auto bytes = static_cast<size_t>(kind.bits <= 8 ? 1 : kind.bits / 8);
    for (uint32_t plane = 0, block = 0; plane < planes; ++plane) {
      for (uint32_t y = 0; y < kind.height; y += rows) {
        for (uint32_t x = 0; x < kind.width; x += columns, ++block) {
          const uint32_t used = kind.tile > 0 ? rows : std::min(rows, kind.height - y);
          std::vector<uint8_t> data;
          for (uint32_t i = 0; i < used * columns * samples; ++i) {
            const uint32_t pixel = i / samples;
            const uint64_t v = value(page, y + pixel / columns, x + pixel % columns, plane + i % samples);
            for (size_t b = 0; b < bytes; ++b) data.push_back(static_cast<uint8_t>(v >> (8 * b)));
          }
          const auto size = static_cast<tmsize_t>(data.size());
          detail::require((kind.tile > 0 ? TIFFWriteEncodedTile(tiff.get(), block, data.data(), size)
                                         : TIFFWriteEncodedStrip(tiff.get(), block, data.data(), size)) >= 0);
        }
      }
    }
    detail::require(TIFFWriteDirectory(tiff.get()) != 0);
  }
  return file;
}

}  // namespace cytograd::test
