// A folder of images without labels, as `predict` takes it. Folders inside are not entered.
#include "data/layouts.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

bool is_plain_images(const fs::path& root) { return !list_folder(root).images.empty(); }

Dataset open_plain_images(const fs::path& root) {
  DatasetBuilder builder(root, Layout::plain_images);
  for (const std::string& image : list_folder(root).images) builder.add(Sample{image, {root / image}, {}});
  return builder.finish();
}

}  // namespace cytograd::layouts
