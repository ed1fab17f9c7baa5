// The one translation unit that holds the code of stb_image and stb_image_write.
#include <libdeflate.h>

#include <cstdlib>
#include <memory>

namespace {

/// What stb_image_write calls to compress a picture, in place of its own code, which takes several times as long for
/// larger files. The result is freed by stb_image_write.
unsigned char* compress_picture(unsigned char* data, int length, int* out_length, int /*quality*/) {
  constexpr int kLevel = 6;
  struct Free {
    void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
  };
  const std::unique_ptr<libdeflate_compressor, Free> compressor(libdeflate_alloc_compressor(kLevel));
  if (!compressor) return nullptr;
  const auto size = static_cast<size_t>(length);
  const size_t bound = libdeflate_zlib_compress_bound(compressor.get(), size);
  auto* out = static_cast<unsigned char*>(std::malloc(bound));
  if (out == nullptr) return nullptr;
  *out_length = static_cast<int>(libdeflate_zlib_compress(compressor.get(), data, size, out, bound));
  return out;
}

}  // namespace

#define STBIW_ZLIB_COMPRESS compress_picture
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION

#include "data/stb.h"
