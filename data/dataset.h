// What is in a folder of images: one table of samples whatever the layout on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

class Pack;

enum class Layout { kaggle_rxrx1, rxrx_ai, wilds_rxrx1, labels_csv, class_folders, plain_images };

/// One image as the network sees it: a site of a well with all its channels, or one file.
struct Sample {
  std::string name;  ///< unique in the dataset: "HEPG2-01_1_B02_s1", "train/a.png"
  std::vector<std::string>
      files;  ///< one a channel in channel order, or one with all channels; not paths, which
              ///< would take 600 MB for RxRx1
  std::vector<std::string> values;  ///< aligned with Dataset::columns; "" where the source has none
  std::shared_ptr<const Pack> pack =
      {};             ///< where the pixels are, in place of files; null: they are in the files
  size_t packed = 0;  ///< which image of the pack
};

/// A file that a table names and the disk lacks, or that cannot be read.
struct MissingImage {
  std::string sample;
  std::filesystem::path file;
  std::string reason;
};

/// A dataset's table. Samples are sorted by name in natural order ("a2" before "a10"), whatever the file
/// system returns, so that an index means the same on every machine.
struct Dataset {
  std::filesystem::path root;
  Layout layout = Layout::plain_images;  ///< of what was packed, where this is a pack
  bool packed = false;
  std::optional<int32_t> white;      ///< of a pack of 16-bit images: the level that became 255
  std::vector<std::string> columns;  ///< for example experiment, plate, well, site, cell_type, sirna
  std::vector<Sample> samples;       ///< those with all their files present
  std::vector<Sample> incomplete;    ///< those with a file missing, sorted as `samples`; `files` has the rest
  std::vector<MissingImage> missing;  ///< one a missing file, or a site of RxRx1 of which nothing is there
  int64_t named_samples = 0;          ///< samples the tables name: those of `samples` and of `incomplete`
  std::vector<std::filesystem::path> tables;  ///< the CSVs that name samples; all files of a pack
  std::vector<std::string> warnings;          ///< what is odd and yet no error, a line each
  std::string label_column;  ///< the layout's default label: sirna, label, ... ; "" without one
  std::string group_column;  ///< the layout's batch column: experiment, group, ... ; "" without one

  /// Index into `columns`; nullopt where there is no such column.
  std::optional<size_t> column(std::string_view name) const;
  /// As above, but throws Error that lists the columns there are.
  size_t require_column(std::string_view name) const;
};

std::string_view layout_name(Layout layout);
std::optional<Layout> find_layout(std::string_view name);

/// Whether a split's name, of a folder or in a column `split`, means `split`, which is train, val or test: so do
/// training, valid, validation and testing, in any case.
bool is_split(std::string_view name, std::string_view split);

/// What the layouts give, beside the images:
/// - the three of RxRx1: a sample a site, named `{experiment}_{plate}_{well}_s{site}`, with the columns
///   experiment, plate ("1" to "4"), experiment_plate ("HEPG2-01_Plate4"), well, site, cell_type, split, and
///   Kaggle's sirna, well_type and id_code or all other columns of metadata.csv. Kaggle's test wells have no
///   sirna: "". WILDS has the splits train, val, test and id_test.
/// - labels_csv: a sample a row, named as its `image`, which is relative to images/ or else to the CSV, and
///   may name one file a channel: "a_w1.png;a_w2.png". All columns of the CSV. In folders train/, val/ and
///   test/: the name starts with "train/" and so on, and a column split.
/// - class_folders: a sample a file, named "class/a.png" or "class/folder/a.png", with the column label, and the column
///   folder ("" where there is none) where an image lies in one; in folders train/, val/ and test/ as above.
/// - plain_images: a sample a file, named as the file, no columns.
/// A pack (data/pack.h) gives what the dataset gave that was packed.
///
/// Recognises the layout of `root` and reads its tables; decodes no image. Throws Error, naming file and
/// line, where the folder is absent, empty or of no known layout, a CSV lacks a column or is malformed, or
/// two rows name the same image.
Dataset open_dataset(const std::filesystem::path& root);

/// The indices of all samples.
std::vector<int64_t> all_samples(const Dataset& dataset);

/// Throws Error listing up to ten of the missing files (and the count of the rest) where the samples lost are
/// more than `max_missing` (a fraction from 0 to 1) of those named.
void check_missing(const Dataset& dataset, double max_missing);

/// Keeps the samples, present or not, whose `column` is one of `values`. Throws Error where the column is
/// absent, or where one of the values occurs nowhere.
void keep_where(Dataset& dataset, std::string_view column, const std::vector<std::string>& values);

}  // namespace cytograd
