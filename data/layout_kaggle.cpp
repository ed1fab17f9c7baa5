// RxRx1 as Kaggle has it: {train,test}/{experiment}/Plate{1-4}/{well}_s{1,2}_w{1-6}.png, a row of a CSV a
// well.
#include <algorithm>

#include "data/layouts.h"
#include "engine/check.h"
#include "engine/file_status.h"

namespace cytograd::layouts {

namespace fs = std::filesystem;

namespace {

void add_wells(DatasetBuilder& builder, FolderIndex& index, const fs::path& root, const fs::path& file,
               const std::string& split, const std::string& default_well_type) {
  const CsvTable table = read_csv(file);
  table.require_columns({"id_code", "experiment", "plate", "well"});
  const size_t id_code = table.require_column("id_code"), experiment = table.require_column("experiment"),
               plate = table.require_column("plate"), well = table.require_column("well");
  const std::optional<size_t> sirna = table.column("sirna"), well_type = table.column("well_type");
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& fields = table.rows[row];
    for (const char* site : {"1", "2"}) {
      const RxRx1Site place{fields[experiment], fields[plate], fields[well], site};
      place.check(table, row);
      if (fields[id_code] != place.well_id())
        fail("{}: id_code is '{}', but experiment, plate and well make '{}'", table.place(row),
             fields[id_code], place.well_id());
      Sample sample{place.name(),
                    {},
                    {place.experiment, place.plate, place.experiment_plate(), place.well, place.site,
                     place.cell_type(), sirna ? fields[*sirna] : "",
                     well_type ? fields[*well_type] : default_well_type, fields[id_code], split}};
      DatasetBuilder::Missing missing;
      place.find_channels(root / split, index, sample, missing);
      builder.add(std::move(sample), table, row, std::move(missing));
    }
  }
}

}  // namespace

bool is_kaggle(const fs::path& root) {
  for (const char* file : {"train.csv", "test.csv"})
    if (is_table_of(root / file, {"id_code", "experiment", "plate", "well"})) return true;
  return false;
}

Dataset open_kaggle(const fs::path& root) {
  DatasetBuilder builder(root, Layout::kaggle_rxrx1);
  builder.columns = {"experiment", "plate", "experiment_plate", "well",    "site",
                     "cell_type",  "sirna", "well_type",        "id_code", "split"};
  builder.label_column = "sirna";
  builder.group_column = "experiment";
  FolderIndex index;
  for (const std::string split : {"train", "test"}) {
    const fs::path wells = root / (split + ".csv"), controls = root / (split + "_controls.csv");
    if (file_exists(wells)) add_wells(builder, index, root, wells, split, "treatment");
    if (file_exists(controls)) add_wells(builder, index, root, controls, split, "");
  }
  return builder.finish();
}

}  // namespace cytograd::layouts
