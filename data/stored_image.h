// A sample's pixels, wherever they are kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/dataset.h"
#include "data/image.h"
#include "engine/check.h"

namespace cytograd {

/// As Image, but shared: decoded pixels, or those of a mapped pack.
struct StoredImage {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::shared_ptr<const uint8_t[]> pixels;  ///< [height, width, channels]
  int64_t bits = 8;                         ///< as in Image; 8 where they come from a pack

  size_t bytes() const { return static_cast<size_t>(height * width * channels); }
};

/// An image that is there and must not be passed over: the run's options, or the dataset itself, need mending.
class UnskippableError : public Error {
 public:
  using Error::Error;
};

/// What a message calls an image: its first file, or the pack and its name there.
std::string place_of(const Sample& sample);

/// All channels of a sample; a packed one is of 8 bits already and ignores the options. Throws Error where a file
/// cannot be read, or could not when it was packed, and UnskippableError where the pack is damaged.
StoredImage read_stored(const Sample& sample, const ReadOptions& options = {});

/// The same, as a copy.
Image read_sample(const Sample& sample, const ReadOptions& options = {});

/// Size, channels and bits without the pixels, from the header of the sample's first file. Throws as read_stored.
ImageInfo read_sample_info(const Sample& sample);

/// The first sample that read_sample_info can be had of; null where there is none. Throws UnskippableError as that
/// does.
const Sample* first_readable(const Dataset& dataset);

}  // namespace cytograd
