#include "data/stored_image.h"

#include "data/pack.h"

namespace cytograd {

std::string place_of(const Sample& sample) {
  return sample.pack ? fmt::format("{}: '{}'", sample.pack->files().folder.string(), sample.name)
                     : sample.files.front();
}

StoredImage read_stored(const Sample& sample, const ReadOptions& options) {
  if (sample.pack) return sample.pack->read(sample.packed);
  auto image = std::make_shared<const Image>(read_planes(sample.files, options));
  return {image->height, image->width, image->channels,
          std::shared_ptr<const uint8_t[]>(image, image->pixels.data()), image->bits};
}

Image read_sample(const Sample& sample, const ReadOptions& options) {
  if (!sample.pack) return read_planes(sample.files, options);
  const StoredImage image = sample.pack->read(sample.packed);
  return {image.height, image.width, image.channels,
          std::vector<uint8_t>(image.pixels.get(), image.pixels.get() + image.bytes())};
}

ImageInfo read_sample_info(const Sample& sample) {
  if (sample.pack) return sample.pack->info(sample.packed);
  ImageInfo info = read_image_info(sample.files.front());
  if (sample.files.size() > 1) info.channels = static_cast<int64_t>(sample.files.size());
  return info;
}

const Sample* first_readable(const Dataset& dataset) {
  for (const Sample& sample : dataset.samples) {
    try {
      (void)read_sample_info(sample);
      return &sample;
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error&) {
      // It is reported when it is read whole.
    }
  }
  return nullptr;
}

}  // namespace cytograd
