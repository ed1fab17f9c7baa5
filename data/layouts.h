// What the readers of the layouts share. Internal to data/: a layout is one file that declares here how it is
// recognised and how it is read, and one row in dataset.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/csv.h"
#include "data/dataset.h"

namespace cytograd::layouts {

/// Lists each folder once and answers from memory: asking the file system about every one of RxRx1's 753,060
/// files takes minutes on a network disk. An absent folder has no files.
class FolderIndex {
 public:
  using Names = std::unordered_set<std::string>;
  bool has_folder(const std::filesystem::path& folder) { return list(folder).exists; }
  /// The files in the folder; the reference stays good as long as the index.
  const Names& files(const std::filesystem::path& folder) { return list(folder).names; }

 private:
  struct Listing {
    bool exists = false;
    Names names;
  };
  const Listing& list(const std::filesystem::path& folder);
  std::unordered_map<std::string, Listing> listings_;
};

/// Gathers samples in any order; `finish` sorts them, parts those with missing files from the rest, and
/// throws Error where two have one name, naming the rows.
class DatasetBuilder {
 public:
  DatasetBuilder(const std::filesystem::path& root, Layout layout);

  std::vector<std::string> columns;
  std::string label_column;
  std::string group_column;
  std::vector<std::string> warnings;

  /// The sample of a row of a table; `missing` lists its files that are not there, as (file, reason).
  using Missing = std::vector<std::pair<std::filesystem::path, std::string>>;
  void add(Sample sample, const CsvTable& table, size_t row, Missing missing);
  /// A sample that was found on disk.
  void add(Sample sample);
  Dataset finish();

 private:
  struct Entry {
    Sample sample;
    Missing missing;
    std::string table;
    int64_t line = 0;
  };
  std::filesystem::path root_;
  Layout layout_;
  std::vector<Entry> entries_;
};

/// The images (by extension) and the folders directly in a folder, in natural order; hidden ones,
/// archivers' leftovers and a disk's lost+found are passed over.
struct FolderContent {
  std::vector<std::string> images;
  std::vector<std::string> folders;
};
FolderContent list_folder(const std::filesystem::path& folder);

/// Whether there is a table of at least two of `names` among its columns: enough to tell what it is meant to be. Throws
/// Error where it cannot be read, or is meant to be that but its header is no CSV; another one of that name is
/// nobody's.
bool is_table_of(const std::filesystem::path& file, std::initializer_list<std::string_view> names);

/// Whether a folder is named as a split: train, val, test or what else means one of them.
bool is_split_folder(std::string_view name);

/// Where one image of RxRx1 was taken.
struct RxRx1Site {
  std::string experiment;  ///< "HEPG2-01"
  std::string plate;       ///< "1" to "4"
  std::string well;        ///< "B02"
  std::string site;        ///< "1" or "2"

  std::string experiment_plate() const;  ///< "HEPG2-01_Plate4", the name of a plate among all experiments
  std::string cell_type() const;         ///< "HEPG2": the experiment up to the last '-'
  std::string well_id() const;           ///< "HEPG2-01_4_B02"
  std::string name() const;              ///< "HEPG2-01_4_B02_s1"
  std::filesystem::path plate_folder(const std::filesystem::path& images) const;

  /// Throws Error naming the row where a part could not be part of a file's name.
  void check(const CsvTable& table, size_t row) const;
  /// The six files of the site: those there go to `sample`, all others to `missing`, which has one entry for
  /// the whole site where none is there.
  void find_channels(const std::filesystem::path& images, FolderIndex& index, Sample& sample,
                     DatasetBuilder::Missing& missing) const;
};

/// Whether there is a metadata.csv as rxrx.ai and WILDS have it, for the two differ by their images alone.
bool has_rxrx1_metadata(const std::filesystem::path& root);

/// Reads that metadata.csv. `finish_row` is given each row's site and its values so far, `split` being the
/// CSV's `dataset`, and adds files, or what is missing of them.
using FinishRow =
    std::function<void(const RxRx1Site&, Sample&, std::string& split, DatasetBuilder::Missing&)>;
Dataset open_rxrx1_metadata(DatasetBuilder builder, const std::filesystem::path& root,
                            const FinishRow& finish_row);

bool is_kaggle(const std::filesystem::path& root);
bool is_rxrx_ai(const std::filesystem::path& root);
bool is_wilds(const std::filesystem::path& root);
bool is_labels_csv(const std::filesystem::path& root);
bool is_class_folders(const std::filesystem::path& root);
bool is_plain_images(const std::filesystem::path& root);

Dataset open_kaggle(const std::filesystem::path& root);
Dataset open_rxrx_ai(const std::filesystem::path& root);
Dataset open_wilds(const std::filesystem::path& root);
Dataset open_labels_csv(const std::filesystem::path& root);
Dataset open_class_folders(const std::filesystem::path& root);
Dataset open_plain_images(const std::filesystem::path& root);

}  // namespace cytograd::layouts
