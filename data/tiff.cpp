#include "data/tiff.h"

#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/check.h"
#include "engine/op_options.h"

namespace cytograd {
namespace {

constexpr int64_t kMostChannels = PreprocessOptions::kMaxChannels;
constexpr tmsize_t kMostAllocation = tmsize_t{1} << 30;  // libtiff's, at once

struct FreeOptions {
  void operator()(TIFFOpenOptions* options) const { TIFFOpenOptionsFree(options); }
};
struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};

/// What a directory says of its pixels.
struct Page {
  uint64_t offset = 0;  // of the directory
  ImageInfo info;
  int64_t samples = 1;  // stored; the channels of `info` are the first of them
  bool is_colour = false;
  bool is_inverted = false;
  bool is_separate = false;  // a plane a sample
  bool is_jpeg = false;
};

std::string photometric_name(uint16_t photometric) {
  switch (photometric) {
    case PHOTOMETRIC_PALETTE:
      return "palette";
    case PHOTOMETRIC_MASK:
      return "mask";
    case PHOTOMETRIC_SEPARATED:
      return "CMYK";
    case PHOTOMETRIC_YCBCR:
      return "YCbCr";
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
      return "Lab";
    default:
      return fmt::format("photometric {}", photometric);
  }
}

std::string sample_format_name(uint16_t format) {
  switch (format) {
    case SAMPLEFORMAT_INT:
      return "signed";
    case SAMPLEFORMAT_IEEEFP:
      return "floating-point";
    case SAMPLEFORMAT_COMPLEXINT:
    case SAMPLEFORMAT_COMPLEXIEEEFP:
      return "complex";
    default:
      return "untyped";
  }
}

/// An open file whose messages are kept, not printed.
class TiffFile {
 public:
  TiffFile(std::string name, ByteSource source) : name_(std::move(name)), source_(std::move(source)) {
    const std::unique_ptr<TIFFOpenOptions, FreeOptions> options(TIFFOpenOptionsAlloc());
    CHECK(options);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), &TiffFile::keep_error, this);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), &TiffFile::keep_warning, this);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMostAllocation);
    // 'm': no mapping, so that every access is checked against the size
    tiff_.reset(TIFFClientOpenExt("TIFF", "rm", this, &TiffFile::read, &TiffFile::refuse_write,
                                  &TiffFile::seek, &TiffFile::close, &TiffFile::size, nullptr, nullptr,
                                  options.get()));
    if (!tiff_) fail_corrupted();
  }
  TiffFile(const TiffFile&) = delete;
  TiffFile& operator=(const TiffFile&) = delete;

  /// The pages that make up the image: one, or a grey one for each channel.
  std::vector<Page> pages() {
    std::vector<Page> pages;
    while (true) {
      const auto kind = field<uint32_t>(TIFFTAG_SUBFILETYPE);
      if ((kind & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) == 0) pages.push_back(page());
      if (static_cast<int64_t>(pages.size()) > kMostChannels)
        fail("{}: has more than {} pages, the channels that an image may have", name_, kMostChannels);
      if (TIFFLastDirectory(tiff_.get()) != 0) break;
      if (TIFFReadDirectory(tiff_.get()) == 0) fail_corrupted();
    }
    if (pages.empty()) fail("{}: has no page but thumbnails and masks", name_);
    if (pages.size() > 1) check_stack(pages);
    return pages;
  }

  /// Puts a page's channels at the head of each `stride` values of `out`.
  template <typename T>
  void read_page(const Page& page, T* out, int64_t stride) {
    counts_are_guessed_ = false;
    if (TIFFSetSubDirectory(tiff_.get(), page.offset) == 0) fail_corrupted();
    if (page.is_jpeg) take_rgb_of_jpeg();
    const bool tiled = TIFFIsTiled(tiff_.get()) != 0;
    const int64_t height = page.info.height, width = page.info.width;
    const int64_t rows = tiled ? field<uint32_t>(TIFFTAG_TILELENGTH)
                               : std::min<int64_t>(field<uint32_t>(TIFFTAG_ROWSPERSTRIP), height);
    const int64_t columns = tiled ? field<uint32_t>(TIFFTAG_TILEWIDTH) : width;
    const int64_t samples = page.is_separate ? 1 : page.samples;
    check_block(page, rows, columns);
    const int64_t row_values = columns * samples;
    const auto row_bytes = row_values * static_cast<int64_t>(sizeof(T));
    if ((tiled ? TIFFTileRowSize(tiff_.get()) : TIFFScanlineSize(tiff_.get())) != row_bytes) fail_corrupted();
    const int64_t kept = page.is_separate ? 1 : page.info.channels;
    // A strip with nothing to drop, interleave or invert is decoded where it goes.
    const bool in_place = !tiled && !page.is_inverted && samples == kept && kept == stride;
    std::vector<T> block(in_place ? 0 : static_cast<size_t>(rows * row_values));
    const T invert = page.is_inverted ? static_cast<T>(~T{0}) : T{0};
    for (int64_t plane = 0; plane < (page.is_separate ? page.info.channels : 1); ++plane) {
      for (int64_t y = 0; y < height; y += rows) {
        const int64_t used_rows = std::min(rows, height - y);
        for (int64_t x = 0; x < width; x += columns) {
          std::fill(block.begin(), block.end(), T{0});  // libtiff may take a damaged strip for whole
          T* const place = out + (y * width + x) * stride + plane;
          read_block(tiled, {x, y, plane}, in_place ? place : block.data(),
                     (tiled ? rows : used_rows) * row_bytes, page.is_jpeg);
          if (in_place) continue;
          const int64_t used_columns = std::min(columns, width - x);
          for (int64_t i = 0; i < used_rows; ++i) {
            const T* from = block.data() + i * row_values;
            T* to = place + i * width * stride;
            for (int64_t j = 0; j < used_columns; ++j, from += samples, to += stride)
              for (int64_t c = 0; c < kept; ++c) to[c] = static_cast<T>(from[c] ^ invert);
          }
        }
      }
    }
  }

 private:
  using Place = std::array<int64_t, 3>;  // column, row, plane

  template <typename T>
  T field(uint32_t tag) {
    T value{};
    TIFFGetFieldDefaulted(tiff_.get(), tag, &value);
    return value;
  }

  /// The current directory; throws where it is of a kind that is not read.
  Page page() {
    Page page;
    page.offset = TIFFCurrentDirOffset(tiff_.get());
    page.info.width = field<uint32_t>(TIFFTAG_IMAGEWIDTH);
    page.info.height = field<uint32_t>(TIFFTAG_IMAGELENGTH);
    page.info.bits = field<uint16_t>(TIFFTAG_BITSPERSAMPLE);
    page.samples = field<uint16_t>(TIFFTAG_SAMPLESPERPIXEL);
    page.is_separate = field<uint16_t>(TIFFTAG_PLANARCONFIG) == PLANARCONFIG_SEPARATE;
    check_values(page);
    const auto compression = field<uint16_t>(TIFFTAG_COMPRESSION);
    if (TIFFIsCODECConfigured(compression) == 0)
      fail("{}: is compressed by a method that libtiff lacks here ({})", name_, compression);
    page.is_jpeg = compression == COMPRESSION_JPEG;
    uint16_t photometric = PHOTOMETRIC_MINISBLACK;  // where the tag is absent
    TIFFGetField(tiff_.get(), TIFFTAG_PHOTOMETRIC, &photometric);
    page.is_inverted = photometric == PHOTOMETRIC_MINISWHITE;
    // libjpeg turns what it stored as YCbCr back to RGB.
    page.is_colour = photometric == PHOTOMETRIC_RGB || (photometric == PHOTOMETRIC_YCBCR && page.is_jpeg);
    if (!page.is_colour && !page.is_inverted && photometric != PHOTOMETRIC_MINISBLACK)
      fail("{}: is a {} TIFF; grey and RGB are read", name_, photometric_name(photometric));
    if (page.is_colour && page.samples < 3)
      fail("{}: is corrupted (RGB of {} samples a pixel)", name_, page.samples);
    page.info.channels = page.is_colour ? 3 : page.samples - alphas();
    if (page.info.channels < 1) fail("{}: has no channel but alpha", name_);
    return page;
  }

  void check_values(const Page& page) {
    const auto format = field<uint16_t>(TIFFTAG_SAMPLEFORMAT);
    if (format != SAMPLEFORMAT_UINT)
      fail("{}: is a TIFF of {} values; unsigned ones of 8 or 16 bits are read", name_,
           sample_format_name(format));
    if (page.info.bits != 8 && page.info.bits != 16)
      fail("{}: is a TIFF of {} bits; those of 8 or 16 are read", name_, page.info.bits);
    if (page.info.height <= 0 || page.info.width <= 0)
      fail("{}: has no pixels ({}x{})", name_, page.info.width, page.info.height);
    if (page.info.height > kMostPixels / page.info.width)
      fail("{}: {}x{} pixels is more than a picture may have ({})", name_, page.info.width, page.info.height,
           kMostPixels);
    if (page.samples < 1 || page.samples > kMostChannels)
      fail("{}: has {} samples a pixel; 1 to {} can be", name_, page.samples, kMostChannels);
    require_few_values(page.info.height * page.info.width, page.samples);
    if (field<uint32_t>(TIFFTAG_IMAGEDEPTH) > 1) fail("{}: is a volume, not a picture", name_);
  }

  void require_few_values(int64_t pixels, int64_t channels) const {
    if (pixels * channels > kMostValues)
      fail("{}: {} pixels of {} channels are more than a picture may have ({} values)", name_, pixels,
           channels, kMostValues);
  }

  /// Samples of a grey page that are marked as alpha.
  int64_t alphas() {
    uint16_t count = 0;
    const uint16_t* kinds = nullptr;
    if (TIFFGetField(tiff_.get(), TIFFTAG_EXTRASAMPLES, &count, &kinds) == 0) return 0;
    const auto is_alpha = [](uint16_t kind) {
      return kind == EXTRASAMPLE_ASSOCALPHA || kind == EXTRASAMPLE_UNASSALPHA;
    };
    const uint16_t* const first = std::find_if(kinds, kinds + count, is_alpha);
    if (!std::all_of(first, kinds + count, is_alpha))
      fail("{}: its alpha is not the last of its samples; write it behind the channels", name_);
    return kinds + count - first;
  }

  void check_stack(const std::vector<Page>& pages) const {
    const ImageInfo& first = pages[0].info;
    for (size_t i = 0; i < pages.size(); ++i) {
      const ImageInfo& info = pages[i].info;
      if (pages[i].is_colour || info.channels != 1)
        fail("{}: page {} of {} has {} channels; of several pages, each should be one channel", name_, i + 1,
             pages.size(), info.channels);
      if (info.height != first.height || info.width != first.width)
        fail("{}: page {} has {}x{} pixels, but the first {}x{}", name_, i + 1, info.width, info.height,
             first.width, first.height);
      if (info.bits != first.bits)
        fail("{}: page {} has {} bits, but the first {}", name_, i + 1, info.bits, first.bits);
    }
    require_few_values(first.height * first.width, static_cast<int64_t>(pages.size()));
  }

  // A tile may lie beyond the image, and so claim memory that the image's size does not bound.
  void check_block(const Page& page, int64_t rows, int64_t columns) const {
    constexpr int64_t kAlways = int64_t{1} << 24;
    const int64_t most = std::max(kAlways, 2 * page.info.height * page.info.width);
    if (rows < 1 || columns < 1 || rows > most / columns)
      fail("{}: its {}x{} pixels lie in tiles of {}x{}, more than are read", name_, page.info.width,
           page.info.height, columns, rows);
  }

  void read_block(bool tiled, const Place& at, void* to, int64_t bytes, bool strict) {
    const auto [x, y, plane] = at;
    const auto column = static_cast<uint32_t>(x), row = static_cast<uint32_t>(y);
    const auto sample = static_cast<uint16_t>(plane);
    TIFF* const tiff = tiff_.get();
    const uint32_t block =
        tiled ? TIFFComputeTile(tiff, column, row, 0, sample) : TIFFComputeStrip(tiff, row, sample);
    // libtiff reads uncompressed pixels from wherever the directory says: at 0, the header's bytes; and past the count.
    const uint64_t stored = TIFFGetStrileByteCount(tiff, block);
    const char* const kind = tiled ? "tile" : "strip";
    const bool is_plain = field<uint16_t>(TIFFTAG_COMPRESSION) == COMPRESSION_NONE;
    if (TIFFGetStrileOffset(tiff, block) == 0 || (stored == 0 && !is_plain))
      fail("{}: is corrupted or truncated ({} {} of its pixels is not in the file)", name_, kind, block);
    if (is_plain && stored != 0 && stored < static_cast<uint64_t>(bytes) && !counts_are_guessed_)
      fail("{}: is corrupted or truncated ({} {} of its pixels has {} of {} bytes)", name_, kind, block,
           stored, bytes);
    warning_.clear();
    const tmsize_t got =
        tiled ? TIFFReadEncodedTile(tiff, block, to, bytes) : TIFFReadEncodedStrip(tiff, block, to, bytes);
    if (got < bytes) fail_corrupted();
    // libjpeg fills what is missing with grey, and warns.
    if (!strict || warning_.empty()) return;
    error_ = warning_;
    fail_corrupted();
  }

  void take_rgb_of_jpeg() {
    uint16_t photometric = 0;
    TIFFGetField(tiff_.get(), TIFFTAG_PHOTOMETRIC, &photometric);
    if (photometric == PHOTOMETRIC_YCBCR) TIFFSetField(tiff_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }

  [[noreturn]] void fail_corrupted() const {
    // As libtiff puts it where malloc has none. What the file claims beyond its size or the limit of the options is put
    // otherwise, though some versions then say "Out of memory reading of" its tag.
    for (const char* lack : {"allocate memory", "Out of memory (", "No space for ", "annot allocate ",
                             "nable to allocate ", "malloc("}) {
      if (error_.find(lack) != std::string::npos) fail_for_memory(name_);
    }
    fail("{}: is corrupted, truncated, or a kind of TIFF that is not supported{}", name_,
         error_.empty() ? "" : fmt::format(" ({})", error_));
  }

  /// The first message of a kind, on one line: what follows is of its consequences.
  static void keep(std::string& kept, const char* format, va_list values) {
    if (!kept.empty()) return;
    std::array<char, 200> text{};
    std::vsnprintf(text.data(), text.size(), format, values);
    kept = text.data();
    std::replace_if(
        kept.begin(), kept.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  }
  static int keep_error(TIFF*, void* self, const char*, const char* format, va_list values) {
    keep(static_cast<TiffFile*>(self)->error_, format, values);
    return 1;  // not printed
  }
  static int keep_warning(TIFF*, void* self, const char*, const char* format, va_list values) {
    auto& file = *static_cast<TiffFile*>(self);
    // As libtiff puts it of sizes that are absent or wrong, as some programs write them.
    if (std::string_view(format).find("calculating from imagelength") != std::string_view::npos)
      file.counts_are_guessed_ = true;
    keep(file.warning_, format, values);
    return 1;
  }

  static tmsize_t read(thandle_t self, void* to, tmsize_t count) {
    auto& file = *static_cast<TiffFile*>(self);
    if (count <= 0 || file.position_ >= file.source_.size) return 0;
    const auto left = static_cast<size_t>(file.source_.size - file.position_);
    const size_t got = file.source_.read(file.position_, to, std::min(static_cast<size_t>(count), left));
    file.position_ += got;
    return static_cast<tmsize_t>(got);
  }
  static tmsize_t refuse_write(thandle_t, void*, tmsize_t) { return -1; }
  static toff_t seek(thandle_t self, toff_t offset, int from) {
    auto& file = *static_cast<TiffFile*>(self);
    const uint64_t base = from == SEEK_SET ? 0 : from == SEEK_CUR ? file.position_ : file.source_.size;
    return file.position_ = base + offset;  // unsigned: a step back wraps round
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t self) { return static_cast<TiffFile*>(self)->source_.size; }

  std::string name_;
  ByteSource source_;
  uint64_t position_ = 0;
  std::string error_;
  std::string warning_;
  bool counts_are_guessed_ = false;        // of the bytes of strips and tiles
  std::unique_ptr<TIFF, CloseTiff> tiff_;  // last: it calls the functions above until it is closed
};

ImageInfo joined(const std::vector<Page>& pages) {
  ImageInfo info = pages[0].info;
  if (pages.size() > 1) info.channels = static_cast<int64_t>(pages.size());
  return info;
}

}  // namespace

ImageInfo tiff_info(const std::string& file, const ByteSource& source) {
  return joined(TiffFile(file, source).pages());
}

RawImage read_tiff(const std::string& file, std::span<const uint8_t> bytes) {
  TiffFile tiff(file, {bytes.size(), [&](uint64_t at, void* to, size_t count) {
                         std::memcpy(to, bytes.data() + at, count);
                         return count;
                       }});
  const std::vector<Page> pages = tiff.pages();
  RawImage image{.info = joined(pages), .bytes = {}, .levels = {}};
  require_enough_bytes(file, bytes.size(), image.info);
  const auto read_into = [&](auto& values) {
    values.resize(static_cast<size_t>(image.info.height * image.info.width * image.info.channels));
    for (size_t p = 0; p < pages.size(); ++p)
      tiff.read_page(pages[p], values.data() + p, image.info.channels);
  };
  if (image.info.bits == 8)
    read_into(image.bytes);
  else
    read_into(image.levels);
  return image;
}

}  // namespace cytograd
