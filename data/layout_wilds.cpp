// RxRx1-WILDS 1.0: images/{experiment}/Plate{p}/{well}_s{s}.png in RGB, and the metadata.csv of rxrx.ai with
// the sets train, val and test. Its fourth set, id_test, is site 2 of the training experiments
// (github.com/p-lambda/wilds, wilds/datasets/rxrx1_dataset.py, split scheme "official").
#include <algorithm>

#include "data/layouts.h"
#include "engine/file_status.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

bool is_wilds(const fs::path& root) {
  if (!has_rxrx1_metadata(root)) return false;
  const fs::path images = root / "images";
  if (folder_exists(images))
    for (const std::string& experiment : list_folder(images).folders)
      for (const std::string& plate : list_folder(images / experiment).folders) {
        const std::vector<std::string> files = list_folder(images / experiment / plate).images;
        if (!files.empty())
          return std::none_of(files.begin(), files.end(),
                              [](const std::string& name) { return name.find("_w") != std::string::npos; });
      }
  // No image is there to tell by, but only WILDS has a set for validation.
  const CsvTable table = read_csv(root / "metadata.csv");
  const std::optional<size_t> set = table.column("dataset");
  return set && std::any_of(table.rows.begin(), table.rows.end(),
                            [&](const auto& row) { return row[*set] == "val"; });
}

Dataset open_wilds(const fs::path& root) {
  DatasetBuilder builder(root, Layout::wilds_rxrx1);
  builder.label_column = "sirna_id";
  builder.group_column = "experiment";
  FolderIndex index;
  return open_rxrx1_metadata(
      std::move(builder), root,
      [&](const RxRx1Site& place, Sample& sample, std::string& split, DatasetBuilder::Missing& missing) {
        const fs::path folder = place.plate_folder(root / "images");
        const std::string file_name = place.well + "_s" + place.site + ".png";
        if (index.files(folder).contains(file_name))
          sample.files = {(folder / file_name).string()};
        else
          missing.emplace_back(folder / file_name, "no such file");
        if (split == "train" && place.site == "2") split = "id_test";
      });
}

}  // namespace cytograd::layouts
