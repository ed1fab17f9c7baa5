// RxRx1 as rxrx.ai has it: images/{experiment}/Plate{p}/{well}_s{s}_w{1-6}.png, a row of metadata.csv a site.
#include "data/layouts.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

bool is_rxrx_ai(const fs::path& root) { return has_rxrx1_metadata(root) && !is_wilds(root); }

Dataset open_rxrx_ai(const fs::path& root) {
  DatasetBuilder builder(root, Layout::rxrx_ai);
  builder.label_column = "sirna";
  builder.group_column = "experiment";
  FolderIndex index;
  return open_rxrx1_metadata(
      std::move(builder), root,
      [&](const RxRx1Site& place, Sample& sample, std::string&, DatasetBuilder::Missing& missing) {
        place.find_channels(root / "images", index, sample, missing);
      });
}

}  // namespace cytograd::layouts
