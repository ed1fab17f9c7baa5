#include "tools/pipeline.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <unordered_set>

#include "data/brightness.h"
#include "data/domains.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "tools/progress.h"
#include "tools/run_device.h"

namespace cytograd {
namespace {

constexpr size_t kNamed = 10;  // unreadable images that are named one by one

std::vector<std::string> split_values(const std::string& text) {
  if (text.empty()) return {""};
  std::vector<std::string> values;
  std::istringstream stream(text);
  for (std::string value; std::getline(stream, value, ',');) values.push_back(value);
  return values;
}

}  // namespace

int32_t resolve_white(const Dataset& dataset, int64_t given) {
  const auto asked = static_cast<int32_t>(given);
  if (!dataset.white || *dataset.white == asked) return asked;
  if (asked == ReadOptions().white) return *dataset.white;
  fail("{}: was packed with --white {}, which cannot become {}; pack it anew", dataset.root.string(),
       *dataset.white, asked);
}

void warn_of_dim_images(const Dataset& dataset, int64_t white, bool may_change_white) {
  constexpr int64_t kDim = 8;
  const Brightness seen = look_at_brightness(dataset);
  if (seen.of_16_bits == 0) return;
  if (seen.of_16_bits < seen.looked_at)
    say(fmt::format(
        "warning: {}: of {} images looked at, {} have 16 bits and the others 8; --white scales those of 16 alone",
        dataset.root.string(), seen.looked_at, seen.of_16_bits));
  if (seen.brightest == 0 || seen.brightest * kDim > white) return;
  const std::string advice = may_change_white ? fmt::format("--white {} keeps their contrast", seen.white())
                                              : std::string("the model was trained with that");
  say(fmt::format(
      "warning: {}: the brightest 16-bit value of {} images looked at is {}, and --white {} makes it {} of 255; {}",
      dataset.root.string(), seen.of_16_bits, seen.brightest, white,
      (seen.brightest * int64_t{255} + white / 2) / white, advice));
}

void report_missing(const Dataset& dataset) {
  const auto lost = dataset.named_samples - static_cast<int64_t>(dataset.samples.size());
  if (lost == 0) return;
  say(fmt::format("{}: {} of {} images are missing or incomplete and are skipped", dataset.root.string(),
                  lost, dataset.named_samples));
}

void require_writable(const std::string& file) {
  if (is_written_in_place(file)) return;  // a pipe would wait for its reader
  const AtomicFile trial(file);
}

bool is_within(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto real = [](const std::filesystem::path& p) {
    std::error_code error;
    std::filesystem::path result = std::filesystem::weakly_canonical(std::filesystem::absolute(p), error);
    if (error) result = std::filesystem::absolute(p).lexically_normal();  // a name that is too long, say
    return result.has_filename() ? result : result.parent_path();         // without a slash at its end
  };
  const std::filesystem::path inner = real(path), outer = real(folder);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

void require_no_input(const std::string& output, const Dataset& dataset) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(output, ignored)) return;
  const auto require_another = [&](const std::filesystem::path& file) {
    if (std::filesystem::equivalent(output, file, ignored))
      fail("{}: is an input, which would be lost; name another file to write", output);
  };
  for (const std::filesystem::path& table : dataset.tables) require_another(table);
  const std::filesystem::path given = std::filesystem::path(output).filename();
  const std::filesystem::path target = std::filesystem::canonical(output, ignored).filename();
  const auto check = [&](const std::filesystem::path& file) {
    // The name first: asking the disk about every image of RxRx1 takes minutes.
    const std::filesystem::path name = file.filename();
    if (name == given || name == target) require_another(file);
  };
  for (const auto* samples : {&dataset.samples, &dataset.incomplete}) {
    for (const Sample& sample : *samples) std::for_each(sample.files.begin(), sample.files.end(), check);
  }
}

bool is_standard_output(const std::string& file) {
  struct stat ours {
  }, theirs{};
  return fstat(STDOUT_FILENO, &ours) == 0 && stat(file.c_str(), &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

std::vector<int64_t> LoadedData::readable(const std::vector<int64_t>& samples) const {
  std::unordered_set<int64_t> lost;
  for (const UnreadableImage& image : unreadable) lost.insert(image.sample);
  std::vector<int64_t> kept;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(kept),
               [&](int64_t sample) { return !lost.contains(sample); });
  return kept;
}

void LoadedData::add_unreadable(const std::vector<UnreadableImage>& found) {
  std::unordered_set<int64_t> known;
  for (const UnreadableImage& image : unreadable) known.insert(image.sample);
  size_t added = 0;
  for (const UnreadableImage& image : found) {
    if (!known.insert(image.sample).second) continue;
    unreadable.push_back(image);
    if (++added <= kNamed) say("unreadable, skipped: " + image.reason);
  }
  if (added > kNamed) say(fmt::format("and {} more", added - kNamed));
  const auto named = static_cast<double>(dataset.named_samples);
  const auto missing = named - static_cast<double>(dataset.samples.size());
  const double lost = missing + static_cast<double>(unreadable.size());
  if (added == 0 || lost <= max_missing * named) return;
  fail(
      "{}: {:.0f} of {:.0f} images are missing or unreadable, more than --max-missing {:g} allows; the "
      "first: {}",
      dataset.root.string(), lost, named, max_missing, unreadable.front().reason);
}

Dataset open_filtered(const std::string& folder, const std::vector<std::string>& where) {
  Dataset dataset = open_dataset(folder);
  for (const std::string& warning : dataset.warnings) say("warning: " + warning);
  for (const std::string& condition : where) {
    const size_t equals = condition.find('=');
    if (equals == std::string::npos || equals == 0)
      fail("--where {}: expected COLUMN=VALUE[,VALUE]", condition);
    keep_where(dataset, condition.substr(0, equals), split_values(condition.substr(equals + 1)));
  }
  return dataset;
}

std::vector<UnreadableImage> preload(ImageStore& store, const Dataset& dataset, int64_t workers) {
  Progress progress("reading", static_cast<int64_t>(dataset.samples.size()), "images");
  return store.preload(static_cast<int>(workers), [&](int64_t done, int64_t) { progress.update(done); });
}

std::unique_ptr<LoadedData> load_images(Dataset dataset, const TrainOptions& options, Use use) {
  auto data = std::make_unique<LoadedData>();
  data->dataset = std::move(dataset);
  data->max_missing = options.max_missing;
  check_missing(data->dataset, options.max_missing);
  report_missing(data->dataset);

  const double half = static_cast<double>(available_memory()) / 2.0;
  const double bytes = options.cache_gib < 0.0 ? half : options.cache_gib * 0x1p30;
  ImageStoreOptions store{.cache_bytes = static_cast<size_t>(bytes),
                          .crop_side = options.crop * options.shrink,
                          .read = {.white = static_cast<int32_t>(options.white)}};
  if (use == Use::inference) {
    store.other_size_advice =
        "the model takes whole images, all of one size; give those of each size by themselves";
    store.small_size_advice = "which is what the model was trained on; give larger images";
  }
  data->store = std::make_unique<ImageStore>(data->dataset, store);
  const ImageInfo& image = data->store->reference();
  if (std::min(image.height, image.width) < options.shrink) {
    fail("{}: images of {} pixels are smaller than --shrink {} averages; {}", data->dataset.root.string(),
         size_text(image), options.shrink,
         use == Use::training ? "use a smaller one" : "the model was trained on larger ones");
  }
  data->add_unreadable(preload(*data->store, data->dataset, options.workers));
  return data;
}

PreprocessOptions preprocess_options(const TrainOptions& options, const FusionTables& fusion,
                                     int64_t channels, Device device) {
  PreprocessOptions result;
  result.dtype = resolve_dtype(options.dtype, device);
  result.shrink = options.shrink;
  result.normalization = options.normalize == "image" ? Normalization::image : Normalization::unit;
  if (fusion.colormap) {
    result.fusion = Fusion::colormap;
    if (channels != fusion.colormap->channels()) {
      fail(
          "--fusion colormap needs {} channels, the images have {}; --colormap FILE says which colours "
          "others have",
          fusion.colormap->channels(), channels);
    }
    result.colormap = ColourTable(fusion.colormap->table()).to(device);
  }
  if (fusion.pca) {
    result.fusion = Fusion::linear;
    if (channels != fusion.pca->pca.channels())
      fail("the principal components are of {} channels, the images have {}", fusion.pca->pca.channels(),
           channels);
    result.linear_weight = fusion.pca->pca.weight().to(device);
    result.linear_bias = fusion.pca->pca.bias().to(device);
  }
  return result;
}

int64_t fused_channels(const FusionTables& fusion, int64_t channels) {
  return fusion.colormap ? 3 : fusion.pca ? fusion.pca->pca.count() : channels;
}

LoaderOptions evaluation_loader_options(const TrainOptions& options, Device device) {
  return {.batch = options.batch,
          .crop = options.crop,
          .shrink = options.shrink,
          .workers = static_cast<int>(options.workers),
          .seed = options.seed,
          .augmentation = {},
          .device = device};
}

std::vector<std::string> adaptation_keys(const Dataset& dataset, const TrainOptions& options) {
  const std::string kind = options.adaptation();
  if (kind == "none") return {};
  try {
    return domain_keys(dataset, kind);
  } catch (const Error& error) {
    fail("{}; --adabn {}{} needs them, --adabn none or dataset does not", error.what(), kind,
         options.adabn == "auto" ? ", as the --sampler," : "");
  }
}

}  // namespace cytograd
