// From a folder to images that are ready to be loaded: what train, eval and predict share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/image_store.h"
#include "data/loader.h"
#include "data/split.h"
#include "engine/op_options.h"
#include "tools/fusion_tables.h"
#include "tools/train_options.h"

namespace cytograd {

/// A dataset with its decoded images.
struct LoadedData {
  Dataset dataset;
  std::unique_ptr<ImageStore> store;        // refers to `dataset`: do not move a LoadedData
  std::vector<UnreadableImage> unreadable;  ///< as far as known: without a cache, what loaders have met
  double max_missing = 0.0;                 ///< fraction that may be missing or unreadable

  /// Those of `samples` that can be read.
  std::vector<int64_t> readable(const std::vector<int64_t>& samples) const;

  /// Takes note of unreadable images and prints those that are new. Throws Error where that is more than
  /// `max_missing` allows.
  void add_unreadable(const std::vector<UnreadableImage>& found);
};

/// open_dataset, then keep_where for each COLUMN=VALUE[,VALUE...] of `where`.
Dataset open_filtered(const std::string& folder, const std::vector<std::string>& where);

/// What --white is for the dataset's images: that of a pack of 16-bit images, else what was given. Throws Error where a
/// pack has another than the one given; the default gives way.
int32_t resolve_white(const Dataset& dataset, int64_t given);

/// Prints a warning where the images are of 16 bits and use less than an eighth of what --white spans, or not all are
/// of 16 bits; where --white may not change, it says so in place of proposing another.
void warn_of_dim_images(const Dataset& dataset, int64_t white, bool may_change_white = true);

/// Prints how many of the images that the dataset names are not there, if any.
void report_missing(const Dataset& dataset);

/// What the images are for: it decides what a user can do about those of a wrong size.
enum class Use { training, inference };

/// ImageStore::preload, with its progress shown. Returns what cannot be read.
std::vector<UnreadableImage> preload(ImageStore& store, const Dataset& dataset, int64_t workers);

/// Checks for missing images and decodes as much as fits into memory. Prints what is missing or unreadable. Throws
/// Error where more than --max-missing is, or where the images are smaller than --shrink.
std::unique_ptr<LoadedData> load_images(Dataset dataset, const TrainOptions& options, Use use);

/// How raw images of `channels` channels become the network's input on `device`, in the type that --dtype resolves to.
PreprocessOptions preprocess_options(const TrainOptions& options, const FusionTables& fusion,
                                     int64_t channels, Device device);
/// Channels that `preprocess` returns.
int64_t fused_channels(const FusionTables& fusion, int64_t channels);

/// Loader settings for batches on `device`, without shuffling or augmentation.
LoaderOptions evaluation_loader_options(const TrainOptions& options, Device device);

/// domain_keys of what --adabn names; empty where it is none. Throws Error where the dataset has no such column.
std::vector<std::string> adaptation_keys(const Dataset& dataset, const TrainOptions& options);

/// Whether `path` is `folder` or lies in it, whatever links lead there. Neither needs to exist.
bool is_within(const std::filesystem::path& path, const std::filesystem::path& folder);

/// Fails where `output` is one of the files that the dataset is made of: its images and tables.
void require_no_input(const std::string& output, const Dataset& dataset);

/// Whether the file is what this process prints to: /dev/stdout, or where that leads.
bool is_standard_output(const std::string& file);

/// Fails before long work where the file could not be written at its end. Leaves nothing behind.
void require_writable(const std::string& file);

}  // namespace cytograd
