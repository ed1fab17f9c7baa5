// PNG of the kinds that microscopes and this program write, decoded at the speed of libdeflate. Internal to
// data/image.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "data/raw_image.h"

namespace cytograd {

/// Grey or RGB of 8 or 16 bits, with or without alpha, which is dropped; nullopt for the rest, which stb_image decodes:
/// palettes, interlaced images, fewer than 8 bits, a transparent colour. `bytes` is a PNG without a picture_flaw whose
/// extent is checked. Throws Error naming the file where the image data are corrupted, or more or fewer than its header
/// says, of whatever kind it is; memory goes by the header.
std::optional<RawImage> decode_png(const std::string& name, std::span<const uint8_t> bytes);

}  // namespace cytograd
