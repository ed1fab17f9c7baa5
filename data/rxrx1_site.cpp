// What the three layouts of RxRx1 have in common: how sites are named and the metadata.csv of two of them.
#include <algorithm>

#include "data/layouts.h"
#include "engine/check.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

std::string RxRx1Site::experiment_plate() const { return experiment + "_Plate" + plate; }

std::string RxRx1Site::cell_type() const { return experiment.substr(0, experiment.rfind('-')); }

std::string RxRx1Site::well_id() const { return experiment + "_" + plate + "_" + well; }

std::string RxRx1Site::name() const { return well_id() + "_s" + site; }

fs::path RxRx1Site::plate_folder(const fs::path& images) const {
  return images / experiment / ("Plate" + plate);
}

void RxRx1Site::check(const CsvTable& table, size_t row) const {
  const auto check_part = [&](std::string_view column, const std::string& part) {
    if (part.empty()) fail("{}: has no {}", table.place(row), column);
    if (part.starts_with('.') || part.find('/') != std::string::npos)
      fail("{}: the {} '{}' cannot be part of a file's name", table.place(row), column, part);
  };
  check_part("experiment", experiment);
  check_part("plate", plate);
  check_part("well", well);
  check_part("site", site);
}

void RxRx1Site::find_channels(const fs::path& images, FolderIndex& index, Sample& sample,
                              DatasetBuilder::Missing& missing) const {
  constexpr std::string_view kChannels = "123456";
  const fs::path folder = plate_folder(images);
  const FolderIndex::Names& there = index.files(folder);
  std::string file_name = well + "_s" + site + "_w?.png";
  char& channel_digit = file_name[file_name.size() - std::string_view("?.png").size()];
  std::string absent;
  for (const char channel : kChannels) {
    channel_digit = channel;
    if (there.contains(file_name))
      sample.files.push_back((folder / file_name).string());
    else
      absent += channel;
  }
  if (absent == kChannels) {
    channel_digit = '*';
    missing.emplace_back(folder / file_name, "no image of this site");
    return;
  }
  for (const char channel : absent) {
    channel_digit = channel;
    missing.emplace_back(folder / file_name, "no such file");
  }
}

bool has_rxrx1_metadata(const fs::path& root) {
  return is_table_of(root / "metadata.csv", {"experiment", "plate", "well"});
}

Dataset open_rxrx1_metadata(DatasetBuilder builder, const fs::path& root, const FinishRow& finish_row) {
  const CsvTable table = read_csv(root / "metadata.csv");
  table.require_columns({"dataset", "experiment", "plate", "well", "site", builder.label_column});
  const size_t experiment = table.require_column("experiment"), plate = table.require_column("plate"),
               well = table.require_column("well"), site = table.require_column("site"),
               set = table.require_column("dataset");
  builder.columns = {"experiment", "plate", "experiment_plate", "well", "site", "cell_type", "split"};
  std::vector<size_t> kept;  // The CSV's other columns.
  for (size_t c = 0; c < table.columns.size(); ++c)
    if (std::find(builder.columns.begin(), builder.columns.end(), table.columns[c]) == builder.columns.end())
      kept.push_back(c);
  for (const size_t c : kept) builder.columns.push_back(table.columns[c]);

  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& fields = table.rows[row];
    const RxRx1Site place{fields[experiment], fields[plate], fields[well], fields[site]};
    place.check(table, row);
    Sample sample{place.name(), {}, {}};
    std::string split = fields[set];
    DatasetBuilder::Missing missing;
    finish_row(place, sample, split, missing);
    sample.values = {place.experiment, place.plate,       place.experiment_plate(), place.well,
                     place.site,       place.cell_type(), std::move(split)};
    for (const size_t c : kept) sample.values.push_back(fields[c]);
    builder.add(std::move(sample), table, row, std::move(missing));
  }
  return builder.finish();
}

}  // namespace cytograd::layouts
