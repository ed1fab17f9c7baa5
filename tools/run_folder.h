// The files of a training run: settings, classes, metrics, weights.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/folder_lock.h"
#include "tools/train_options.h"

namespace cytograd {

/// A row of metrics.csv.
struct EpochMetrics {
  int64_t epoch = 0;  ///< from 1
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double val_loss = 0.0;
  double val_accuracy = 0.0;
  double val_macro_accuracy = 0.0;
  double learning_rate = 0.0;      ///< of the epoch's last step
  double images_per_second = 0.0;  ///< of training
  double stall_seconds = 0.0;      ///< the training steps waited so long for images
  double stall_seconds_per_step = 0.0;
};

/// metrics.csv as text of so many digits, and back. Throws Error naming `source` where the text is malformed.
std::string format_metrics(const std::vector<EpochMetrics>& rows, int digits = 6);
std::vector<EpochMetrics> parse_metrics(const std::string& text, const std::string& source);

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path classes() const { return path_ / "classes.csv"; }
  std::filesystem::path colormap() const { return path_ / "colormap.csv"; }  ///< of --fusion colormap
  std::filesystem::path pca() const { return path_ / "pca.json"; }           ///< of --fusion pca
  std::filesystem::path metrics() const { return path_ / "metrics.csv"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path last() const { return path_ / "last.safetensors"; }

  /// Throws Error where the folder could not be made or written to, as far as can be told without trying.
  void require_writable() const;
  /// Makes the folder and keeps other processes from training into it, as long as this object or a copy lives. Throws
  /// Error as FolderLock does.
  void lock();
  /// FolderLock::require_held, where it is locked.
  void require_held() const;
  /// Removes what a killed process left half-written. For the one that holds its lock.
  void remove_leftovers() const;

  void write_classes(const std::vector<std::string>& names) const;
  /// Throws Error naming the file and line where it is malformed.
  std::vector<std::string> read_classes() const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<FolderLock> lock_;
};

}  // namespace cytograd
