#include "data/jpeg_decode.h"

#include <turbojpeg.h>

#include <memory>
#include <new>
#include <string_view>
#include <type_traits>

#include "engine/check.h"

namespace cytograd {
namespace {

struct Destroy {
  void operator()(void* decoder) const { tjDestroy(decoder); }
};
using Decoder = std::unique_ptr<std::remove_pointer_t<tjhandle>, Destroy>;

Decoder make_decoder() {
  Decoder decoder(tjInitDecompress());
  if (!decoder) throw std::bad_alloc();
  return decoder;
}

/// Whether it may be coded by arithmetic, which takes next to no bits for a blank picture: it has the mark of such a
/// frame.
bool is_arithmetic(std::span<const uint8_t> bytes) {
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    if (bytes[i] == 0xFF && bytes[i + 1] >= 0xC9 && bytes[i + 1] <= 0xCB) return true;
  }
  return false;
}

[[noreturn]] void fail_to_decode(const std::string& name, const Decoder& decoder) {
  const std::string_view reason = tjGetErrorStr2(decoder.get());
  // TurboJPEG's and libjpeg's own, as they put it.
  for (const char* lack : {"Memory allocation failure", "Insufficient memory"}) {
    if (reason.find(lack) != std::string_view::npos) fail_for_memory(name);
  }
  fail("{}: is corrupted, truncated, or a kind of JPEG that is not supported ({})", name, reason);
}

}  // namespace

ImageInfo jpeg_info(const std::string& name, std::span<const uint8_t> bytes) {
  const Decoder decoder = make_decoder();
  int width = 0, height = 0, subsampling = 0, colours = -1;
  const int result =
      tjDecompressHeader3(decoder.get(), bytes.data(), bytes.size(), &width, &height, &subsampling, &colours);
  // It fails too, with the rest read, where it has no name for how colours are sampled, which decoding does not ask.
  const bool is_read = width > 0 && height > 0 && colours >= 0;
  if (result != 0 && !is_read) fail_to_decode(name, decoder);
  if (colours == TJCS_CMYK || colours == TJCS_YCCK)
    fail("{}: is a JPEG of the colours of print (CMYK), which is not supported", name);
  return {height, width, colours == TJCS_GRAY ? 1 : 3};
}

RawImage decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, const ImageInfo& info) {
  // All of the file is looked through where it claims too much alone.
  if (!are_enough_bytes(bytes.size(), info) && !is_arithmetic(bytes))
    require_enough_bytes(name, bytes.size(), info);
  RawImage image{.info = info, .bytes = {}, .levels = {}};
  image.bytes.resize(static_cast<size_t>(info.height * info.width * info.channels));
  const Decoder decoder = make_decoder();
  const int flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
  if (tjDecompress2(decoder.get(), bytes.data(), bytes.size(), image.bytes.data(),
                    static_cast<int>(info.width), static_cast<int>(info.width * info.channels),
                    static_cast<int>(info.height), info.channels == 1 ? TJPF_GRAY : TJPF_RGB, flags) != 0)
    fail_to_decode(name, decoder);
  return image;
}

}  // namespace cytograd
