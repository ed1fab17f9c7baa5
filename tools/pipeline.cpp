#include "tools/pipeline.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "data/colormap.h"
#include "engine/check.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

constexpr size_t kNamed = 10;  // unreadable images that are named one by one

std::vector<std::string> split_values(const std::string& text) {
  std::vector<std::string> values;
  std::istringstream stream(text);
  for (std::string value; std::getline(stream, value, ',');) values.push_back(value);
  return values;
}

void report_missing(const Dataset& dataset) {
  const auto lost = dataset.named_samples - static_cast<int64_t>(dataset.samples.size());
  if (lost == 0) return;
  say(fmt::format("{}: {} of {} images are missing or incomplete and are skipped", dataset.root.string(),
                  lost, dataset.named_samples));
}

}  // namespace

void say(const std::string& line) { fmt::print(stderr, "{}\n", line); }

std::vector<int64_t> LoadedData::readable(const std::vector<int64_t>& samples) const {
  std::vector<int64_t> kept;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(kept), [this](int64_t sample) {
    return std::none_of(unreadable.begin(), unreadable.end(),
                        [&](const auto& u) { return u.sample == sample; });
  });
  return kept;
}

Dataset open_filtered(const std::string& folder, const std::vector<std::string>& where) {
  Dataset dataset = open_dataset(folder);
  for (const std::string& condition : where) {
    const size_t equals = condition.find('=');
    if (equals == std::string::npos || equals == 0)
      fail("--where {}: expected COLUMN=VALUE[,VALUE]", condition);
    keep_where(dataset, condition.substr(0, equals), split_values(condition.substr(equals + 1)));
  }
  return dataset;
}

std::unique_ptr<LoadedData> load_images(Dataset dataset, const TrainOptions& options) {
  auto data = std::make_unique<LoadedData>();
  data->dataset = std::move(dataset);
  check_missing(data->dataset, options.max_missing);
  report_missing(data->dataset);

  const double half = static_cast<double>(available_memory()) / 2.0;
  const double bytes = options.cache_gib < 0.0 ? half : options.cache_gib * 0x1p30;
  data->store = std::make_unique<ImageStore>(data->dataset,
                                             ImageStoreOptions{.cache_bytes = static_cast<size_t>(bytes),
                                                               .crop_side = options.crop * options.shrink});
  {
    const auto total = static_cast<int64_t>(data->dataset.samples.size());
    Progress progress("reading", total, "images");
    data->unreadable = data->store->preload(static_cast<int>(options.workers),
                                            [&](int64_t done, int64_t) { progress.update(done); });
  }
  const auto total = static_cast<double>(data->dataset.named_samples);
  const auto lost = static_cast<double>(data->unreadable.size()) + total -
                    static_cast<double>(data->dataset.samples.size());
  for (size_t i = 0; i < std::min(data->unreadable.size(), kNamed); ++i) {
    say("unreadable, skipped: " + data->unreadable[i].reason);
  }
  if (data->unreadable.size() > kNamed) say(fmt::format("and {} more", data->unreadable.size() - kNamed));
  if (lost > options.max_missing * total) {
    fail(
        "{}: {:.0f} of {:.0f} images are missing or unreadable, more than --max-missing {:g} allows; the "
        "first: {}",
        data->dataset.root.string(), lost, total, options.max_missing,
        data->unreadable.empty() ? "" : data->unreadable.front().reason);
  }
  return data;
}

PreprocessOptions preprocess_options(const TrainOptions& options, DType dtype, int64_t channels) {
  PreprocessOptions result;
  result.dtype = dtype;
  result.shrink = options.shrink;
  result.normalization = options.normalize == "image" ? Normalization::image : Normalization::unit;
  if (options.fusion == "colormap") {
    result.fusion = Fusion::colormap;
    if (channels != kColormapChannels) {
      fail("--fusion colormap needs {} channels, the images have {}", kColormapChannels, channels);
    }
    const auto* table = &colormap_table[0][0][0];
    result.colormap =
        Tensor::from(std::span<const uint8_t>(table, sizeof(colormap_table)), {channels, 256, 3});
  }
  return result;
}

int64_t fused_channels(const TrainOptions& options, int64_t channels) {
  return options.fusion == "colormap" ? 3 : channels;
}

LoaderOptions evaluation_loader_options(const TrainOptions& options) {
  return {.batch = options.batch,
          .crop = options.crop,
          .shrink = options.shrink,
          .workers = static_cast<int>(options.workers),
          .seed = options.seed,
          .augmentation = {}};
}

}  // namespace cytograd
