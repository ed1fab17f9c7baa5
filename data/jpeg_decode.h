// JPEG by libjpeg-turbo. Internal to data/image.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/raw_image.h"

namespace cytograd {

/// What the header says, of 1 or 3 channels. Throws Error naming the file where it is corrupted, or of a kind that is
/// not supported: CMYK, 12 bits, lossless.
ImageInfo jpeg_info(const std::string& name, std::span<const uint8_t> bytes);

/// Grey or RGB, by the accurate integer transform. `info` is jpeg_info, whose extent is checked. Throws Error naming
/// the file where the decoder as much as warns: it fills what is missing with grey.
RawImage decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, const ImageInfo& info);

}  // namespace cytograd
