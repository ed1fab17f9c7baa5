#include "tools/fuser.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "data/checksum.h"
#include "data/colormap.h"
#include "data/csv.h"
#include "data/domains.h"
#include "data/pca_scopes.h"
#include "data/workers.h"
#include "engine/atomic_file.h"
#include "engine/file_status.h"
#include "engine/folder_lock.h"
#include "engine/parallel.h"
#include "tools/fuse_folder.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

/// A sample's name with the extension of a picture, fit for the column image of a labels.csv, where ';' parts
/// channels: of a dataset of that layout, packed or not, the first channel's file names the picture.
std::string picture_name(const Sample& sample, Layout layout) {
  std::string text = sample.name;
  if (layout == Layout::labels_csv) text.resize(std::min(text.size(), text.find(';')));
  std::replace(text.begin(), text.end(), ';', '_');
  fs::path name = fs::path(text).lexically_normal();
  if (has_image_extension(name)) name.replace_extension();  // whatever else follows a dot is part of the name
  return name.string() + ".png";
}

/// Throws Error where two samples would be written to one file, or one elsewhere.
std::vector<std::string> picture_names(const Dataset& dataset) {
  std::vector<std::string> names;
  std::map<std::string, const Sample*> owners;
  for (const Sample& sample : dataset.samples) {
    names.push_back(picture_name(sample, dataset.layout));
    const fs::path name = names.back();
    if (name.is_absolute() || *name.begin() == "..")  // from a pack, which may come from anywhere
      fail("{}: the picture of '{}' would be written outside of --out", dataset.root.string(), sample.name);
    const auto [found, is_new] = owners.emplace(names.back(), &sample);
    if (is_new) continue;
    fail("{}: '{}' and '{}' would both be written to {}; rename one of them", dataset.root.string(),
         found->second->name, sample.name, names.back());
  }
  return names;
}

/// image,label,group and every other column the dataset has.
std::string labels_csv(const Dataset& dataset, const std::vector<std::string>& names,
                       const std::vector<bool>& written) {
  std::vector<std::string> header{"image"};
  std::vector<size_t> order;
  const auto add = [&](const std::string& title, const std::string& column) {
    if (const auto index = dataset.column(column)) {
      header.push_back(title);
      order.push_back(*index);
    }
  };
  add("label", dataset.label_column);
  add("group", dataset.group_column);
  for (const std::string& column : dataset.columns) {
    if (column != "image" && column != "label" && column != "group") add(column, column);
  }
  std::string text = csv_row(header);
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    if (!written[i]) continue;
    std::vector<std::string> row{names[i]};
    for (const size_t index : order) row.push_back(dataset.samples[i].values[index]);
    text += csv_row(row);
  }
  return text;
}

PcaFitOptions pca_options(const FuseSettings& settings) {
  return {.components = 3,
          .range = settings.pca_range == "percentile" ? PcaRange::percentile : PcaRange::deviations,
          .workers = static_cast<int>(settings.workers)};
}

/// Whether the file is a PNG that is there to its end: a machine that went down may leave an empty one.
bool is_whole_png(const fs::path& file) {
  constexpr std::string_view kEnd("IEND\xAE\x42\x60\x82", 8);
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return false;
  std::ifstream stream(file, std::ios::binary);
  std::string end(kEnd.size(), '\0');
  stream.seekg(-static_cast<std::streamoff>(kEnd.size()), std::ios::end);
  return stream.read(end.data(), static_cast<std::streamsize>(end.size())) && end == kEnd;
}

/// Whether two pictures are of one image; other processors may round otherwise.
bool are_alike(const Image& a, const Image& b) {
  constexpr int kMostApart = 2;
  return a.height == b.height && a.width == b.width && a.channels == b.channels &&
         std::equal(a.pixels.begin(), a.pixels.end(), b.pixels.begin(),
                    [](int left, int right) { return std::abs(left - right) <= kMostApart; });
}

/// A picture that this program has written.
Image read_picture(const fs::path& file) {
  try {
    return read_image(file);
  } catch (const Error& error) {
    fail("{}; remove the picture, and it is drawn anew", error.what());
  }
}

/// Does what fails by an image without naming it.
template <typename Work>
auto naming(const Sample& sample, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    fail("{}: {}", place_of(sample), error.what());
  }
}

/// Makes the pictures of a dataset, but for those that are there.
class Fuser {
 public:
  Fuser(const FuseSettings& settings, LoadedData& data, FuseFolder folder, const FolderLock& lock)
      : settings_(settings),
        lock_(lock),
        data_(data),
        dataset_(data.dataset),
        folder_(std::move(folder)),
        names_(picture_names(dataset_)),
        written_(dataset_.samples.size()) {
    // What can fail by the settings does so here, before anything is written.
    if (settings.method == "colormap") {
      colormap_ = settings.colormap.empty() ? Colormap::rxrx1() : read_colormap(settings.colormap);
      check_channels();
    } else {
      keys_ = domain_keys(dataset_, settings.pca_scope);
      require_keys(dataset_, settings.pca_scope, keys_, all_samples(dataset_));
      require_pca_keys(keys_, fmt::format("{}, --pca-scope {}", settings.data, settings.pca_scope));
    }
    fingerprint_ = fingerprint();
  }

  void run() {
    folder_.begin({.method = settings_.method, .fingerprint = fingerprint_});
    remove_leftover_pictures();
    if (colormap_) write_text_file(folder_.colormap(), colormap_->csv());
    const auto start = std::chrono::steady_clock::now();
    if (settings_.method == "pca") fit();
    require_same_pictures();
    // Before the pictures: fitted anew, the components may differ.
    if (settings_.method == "pca" && !has_own_components()) write_text_file(folder_.pca(), format_pca(pca_));
    draw();
    data_.add_unreadable(unreadable_);
    finish();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto there = std::count(written_.begin(), written_.end(), true);
    fmt::print("{}: {} RGB images and labels.csv", folder_.path().string(), there);
    if (there > drawn_) fmt::print(", {} of them from before", there - drawn_);
    fmt::print("; {:.0f} images/s\n", static_cast<double>(drawn_) / std::max(seconds, 1e-9));
  }

 private:
  /// Throws Error where no image of the scope could be read when the components were fitted.
  const PcaFit& shared_fit(const std::string& key) const {
    const auto found = pca_.fits.find(key);
    if (found != pca_.fits.end()) return found->second;
    fail(
        "{}: has no components of '{}', none of whose images could be read then; remove the folder {} and fuse anew",
        folder_.pca().string(), key, folder_.path().string());
  }

  /// Of all that the pictures and their table depend on.
  std::string fingerprint() const {
    std::string text = settings_.method + "\n" + (colormap_ ? colormap_->csv() : "");
    if (settings_.method == "pca") text += settings_.pca_scope + "\n" + settings_.pca_range + "\n";
    text += fmt::format("white {}\n", settings_.white);
    std::vector<std::string> names;
    for (const Sample& sample : dataset_.samples) names.push_back(sample.name);
    // What is missing today may be there tomorrow, unless components were fitted without it.
    const bool shared = settings_.method == "pca" && settings_.pca_scope != "image";
    for (size_t i = 0; shared && i < names.size(); ++i) names[i] += '\0' + keys_[i];
    for (const Sample& sample : dataset_.incomplete) {
      if (!shared) names.push_back(sample.name);
    }
    std::sort(names.begin(), names.end());
    return checksum_text(crc32_of(fmt::format("{}{}", text, fmt::join(names, "\n"))));
  }

  /// Fails where the colormap is for other channels than the first image that can be read has.
  void check_channels() const {
    const Sample* const sample = first_readable(dataset_);
    if (sample == nullptr) return;
    const ImageInfo info = read_sample_info(*sample);
    naming(*sample, [&] { colormap_->require_channels(info.channels); });
  }

  void remove_leftover_pictures() const {
    std::set<fs::path> folders;
    for (const std::string& name : names_) folders.insert((folder_.images() / name).parent_path());
    for (const fs::path& pictures : folders)
      remove_leftovers(pictures, [](const std::string& name) { return name.ends_with(".png"); });
  }

  void fit() {
    pca_.scope = settings_.pca_scope;
    pca_.fingerprint = fingerprint_;
    if (settings_.pca_scope == "image") return;  // each image has its own when it is drawn
    if (std::optional<PcaFile> there = fitted_before()) {
      pca_ = std::move(*there);
      return;
    }
    // Images are looked at twice; what fits into memory is decoded once.
    const auto total = static_cast<int64_t>(dataset_.samples.size());
    store_ = std::make_unique<ImageStore>(
        dataset_,
        ImageStoreOptions{.cache_bytes = available_memory() / 2, .crop_side = 1, .read = settings_.read()});
    (void)preload(*store_, dataset_, settings_.workers);  // fitting reports what cannot be read
    Progress progress("fitting", total, "images");
    const std::vector<int64_t> samples = all_samples(dataset_);
    PcaFitOptions options = pca_options(settings_);
    options.progress = [&](int64_t done) { progress.update(done); };
    PcaFits fits = fit_pca_scopes(*store_, samples, keys_, options);
    data_.add_unreadable(fits.unreadable);
    pca_.fits = std::move(fits.fits);
  }

  /// The components that are there, if any. Damaged ones are none where no picture was made with them.
  std::optional<PcaFile> fitted_before() const {
    if (!file_exists(folder_.pca())) return std::nullopt;
    try {
      PcaFile there = read_pca(folder_.pca());
      if (there.fingerprint == fingerprint_) return there;
    } catch (const Error& error) {
      // Fitted anew, they may differ from those of the pictures: an image may have come or gone.
      if (folder_.has_pictures())
        fail(
            "{}; the file is damaged, and pictures are there that were made with it; remove the folder {} "
            "and fuse anew, or name another --out",
            error.what(), folder_.path().string());
    }
    return std::nullopt;
  }

  bool has_own_components() const { return settings_.method == "pca" && settings_.pca_scope == "image"; }

  StoredImage read(size_t i) const {
    return store_ ? store_->get(static_cast<int64_t>(i)) : read_stored(dataset_.samples[i], settings_.read());
  }

  /// The components of an image by itself, where that is the scope.
  std::optional<PcaFit> own_fit(size_t i, const StoredImage& image) const {
    if (!has_own_components()) return std::nullopt;
    return naming(dataset_.samples[i], [&] { return fit_pca_image(image, pca_options(settings_)); });
  }

  /// By the image's own components where there are `own`.
  Image picture(size_t i, const StoredImage& image, const std::optional<PcaFit>& own) const {
    const Image planes{image.height, image.width, image.channels,
                       std::vector<uint8_t>(image.pixels.get(), image.pixels.get() + image.bytes())};
    if (colormap_) return naming(dataset_.samples[i], [&] { return (*colormap_)(planes); });
    const PcaFit& fit = own ? *own : shared_fit(keys_[i]);
    return pca_to_rgb(planes, fit.pca, fit.ranges);
  }

  /// Throws Error where the first or the last picture that is there is not what its image gives: the folder has those
  /// of other images by the same names. Where the image cannot be read now, its picture stays.
  void require_same_pictures() const {
    const auto is_there = [&](const std::string& name) { return is_whole_png(folder_.images() / name); };
    const auto first = std::find_if(names_.begin(), names_.end(), is_there);
    if (first == names_.end()) return;
    const auto end = std::find_if(names_.rbegin(), names_.rend(), is_there).base();
    for (const size_t i : std::set{static_cast<size_t>(first - names_.begin()),
                                   static_cast<size_t>(end - names_.begin()) - 1}) {
      StoredImage image;
      try {
        image = read(i);
      } catch (const UnskippableError&) {
        throw;
      } catch (const Error&) {
        continue;
      }
      const fs::path file = folder_.images() / names_[i];
      if (!are_alike(read_picture(file), picture(i, image, own_fit(i, image))))
        fail(
            "{}: is not what {} gives now, by its pixels or by components; name another --out, or remove the folder "
            "{}",
            file.string(), place_of(dataset_.samples[i]), folder_.path().string());
    }
  }

  void draw() {
    const auto total = static_cast<int64_t>(dataset_.samples.size());
    Progress progress("fusing", total, "images");
    for_each_item(
        total, static_cast<int>(settings_.workers),
        [&](int64_t i) {
          limit_threads(1);  // the workers are the threads
          draw_one(static_cast<size_t>(i));
          return true;
        },
        [&](int64_t done) { progress.update(done); });
    std::sort(unreadable_.begin(), unreadable_.end(),
              [](const auto& a, const auto& b) { return a.sample < b.sample; });
  }

  void draw_one(size_t i) {
    const fs::path file = folder_.images() / names_[i];
    const bool is_there = is_whole_png(file);
    if (is_there && !has_own_components()) return mark(i, false);
    StoredImage image;
    try {
      image = read(i);
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& failure) {
      const std::lock_guard lock(mutex_);
      unreadable_.push_back({static_cast<int64_t>(i), failure.what()});
      return;
    }
    std::optional<PcaFit> own = own_fit(i, image);
    if (!is_there) write(file, picture(i, image, own));
    if (own) {
      const std::lock_guard lock(mutex_);
      pca_.fits.emplace(keys_[i], std::move(*own));
    }
    mark(i, !is_there);
  }

  void write(const fs::path& file, const Image& picture) const {
    lock_.require_held();
    fs::create_directories(file.parent_path());
    write_png(file, picture);
  }

  void mark(size_t i, bool is_new) {
    const std::lock_guard lock(mutex_);
    written_[i] = true;
    drawn_ += is_new ? 1 : 0;
  }

  void finish() {
    lock_.require_held();
    std::string missing = "image,file,reason\n";
    for (const MissingImage& image : dataset_.missing)
      missing += csv_row(std::vector<std::string>{image.sample, image.file.string(), image.reason});
    for (const UnreadableImage& image : data_.unreadable)
      missing += csv_row(std::vector<std::string>{dataset_.samples[static_cast<size_t>(image.sample)].name,
                                                  "", image.reason});
    write_text_file(folder_.missing(), missing);
    if (settings_.method == "pca") {
      write_text_file(folder_.pca(), format_pca(pca_));
      print_components();
    }
    write_text_file(folder_.labels(), labels_csv(dataset_, names_, written_));
  }

  /// The explained variance of each scope, or of the first few.
  void print_components() const {
    constexpr size_t kShown = 12;
    size_t shown = 0;
    for (const auto& [key, fit] : pca_.fits) {
      if (++shown > kShown) break;
      std::vector<std::string> parts;
      for (size_t k = 0; k < fit.pca.components.size(); ++k)
        parts.push_back(fmt::format("{:.5g} ({:.1f}%)", fit.pca.explained_variance[k],
                                    100.0 * fit.pca.explained_variance_ratio[k]));
      fmt::print("{}: explained variance {}\n", key, fmt::join(parts, ", "));
    }
    if (pca_.fits.size() > kShown) fmt::print("and {} more; pca.json has all\n", pca_.fits.size() - kShown);
  }

  const FuseSettings& settings_;
  const FolderLock& lock_;
  LoadedData& data_;
  const Dataset& dataset_;
  FuseFolder folder_;
  std::vector<std::string> names_;
  std::vector<bool> written_;
  std::optional<Colormap> colormap_;
  std::string fingerprint_;
  std::vector<std::string> keys_;  // aligned with the samples; of pca
  PcaFile pca_;
  std::unique_ptr<ImageStore> store_;
  std::mutex mutex_;
  std::vector<UnreadableImage> unreadable_;
  int64_t drawn_ = 0;
};

}  // namespace

void fuse_images(const FuseSettings& settings, LoadedData& data) {
  picture_names(data.dataset);  // fails before a folder is made
  const FuseFolder folder(settings.out);
  const FolderLock lock(folder.path(), "fusing into this folder");
  folder.require_own(settings.preview);  // what came to be in it since the command looked first
  Fuser(settings, data, folder, lock).run();
}

}  // namespace cytograd
