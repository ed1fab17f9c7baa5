#include "data/synth.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/synth_design.h"
#include "data/synth_stains.h"
#include "data/workers.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/folder_lock.h"

namespace cytograd {
namespace {

using synth::Design;
namespace fs = std::filesystem;

Image render(const Design& design, const SynthIndex& index) {
  const uint64_t seed = design.options().seed;
  const synth::CellType& type = design.cell_type(index.experiment);
  const synth::Phenotype traits = design.phenotype(index);
  const synth::Batch batch = design.batch(index);
  const synth::Scene scene =
      synth::make_scene({.size = design.options().size, .type = type, .traits = traits, .batch = batch},
                        stream(seed, synth::Stream::cells, index));
  return synth::expose(synth::stain(scene, type, traits, stream(seed, synth::Stream::texture, index)), type,
                       batch, stream(seed, synth::Stream::noise, index));
}

void check_index(const SynthOptions& options, const SynthIndex& index) {
  CHECK(index.experiment >= 0 && index.experiment < options.experiments, "experiment {} of {}",
        index.experiment, options.experiments);
  CHECK(index.plate >= 0 && index.plate < options.plates, "plate {} of {}", index.plate, options.plates);
  CHECK(index.well >= 0 && index.well < options.wells, "well {} of {}", index.well, options.wells);
  CHECK(index.site >= 0 && index.site < options.sites, "site {} of {}", index.site, options.sites);
}

std::vector<SynthIndex> all_sites(const SynthOptions& options) {
  std::vector<SynthIndex> indices;
  for (int experiment = 0; experiment < options.experiments; ++experiment)
    for (int plate = 0; plate < options.plates; ++plate)
      for (int well = 0; well < options.wells; ++well)
        for (int site = 0; site < options.sites; ++site)
          indices.push_back({.experiment = experiment, .plate = plate, .well = well, .site = site});
  return indices;
}

fs::path plate_folder(const fs::path& out, const SynthSite& site) {
  return out / "images" / site.experiment / fmt::format("Plate{}", site.plate);
}

void write_site(const fs::path& out, const SynthSite& site, const Image& image) {
  Image plane{.height = image.height, .width = image.width, .channels = 1, .pixels = {}};
  plane.pixels.resize(static_cast<size_t>(image.height * image.width));
  for (int64_t c = 0; c < image.channels; ++c) {
    for (size_t i = 0; i < plane.pixels.size(); ++i)
      plane.pixels[i] = image.pixels[i * static_cast<size_t>(image.channels) + static_cast<size_t>(c)];
    write_png(plate_folder(out, site) / fmt::format("{}_s{}_w{}.png", site.well, site.site, c + 1), plane);
  }
}

void make_folders(const fs::path& out, const Design& design) {
  std::error_code error;
  if (!fs::is_empty(out, error))
    fail("synth: {} is not empty; name a new folder or empty this one", out.string());
  for (int experiment = 0; experiment < design.options().experiments && !error; ++experiment)
    for (int plate = 0; plate < design.options().plates && !error; ++plate)
      fs::create_directories(plate_folder(out, design.describe({.experiment = experiment, .plate = plate})),
                             error);
  if (error) fail("synth: cannot make folders in {}: {}", out.string(), error.message());
}

// The table comes last and whole: a folder without it is an unfinished run.
void write_metadata(const fs::path& out, const Design& design, const std::vector<SynthIndex>& indices) {
  std::string table =
      "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n";
  for (const SynthIndex& index : indices) {
    const SynthSite s = design.describe(index);
    table += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", s.site_id, s.well_id, s.cell_type, s.dataset,
                         s.experiment, s.plate, s.well, s.site, s.well_type, s.sirna, s.sirna_id);
  }
  write_text_file(out / "metadata.csv", table);
}

}  // namespace

SynthSite describe_site(const SynthOptions& options, const SynthIndex& index) {
  synth::check_options(options);
  check_index(options, index);
  return Design(options).describe(index);
}

Image render_site(const SynthOptions& options, const SynthIndex& index) {
  synth::check_options(options);
  check_index(options, index);
  return render(Design(options), index);
}

SynthReport synthesize(const fs::path& out, const SynthOptions& options,
                       const std::function<void(int64_t done, int64_t total)>& progress) {
  const Design design(options);
  std::error_code ignored;
  if (fs::exists(out, ignored) && !fs::is_directory(out, ignored))
    fail("synth: {} is not a folder; name another", out.string());
  const FolderLock held(out, "making a dataset in this folder");
  make_folders(out, design);
  const std::vector<SynthIndex> indices = all_sites(options);
  const int64_t total = static_cast<int64_t>(indices.size());
  const int threads = options.threads > 0
                          ? options.threads
                          : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::mutex mutex;
  int64_t done = 0;
  for_each_item(total, threads,
                [&](int64_t i) {
                  held.require_held();
                  write_site(out, design.describe(indices[i]), render(design, indices[i]));
                  const std::lock_guard lock(mutex);
                  ++done;
                  if (progress) progress(done, total);
                  return true;
                },
                {});
  held.require_held();
  write_metadata(out, design, indices);
  return {.images = total * synth::channel_count, .sites = total, .wells = total / options.sites};
}

}  // namespace cytograd
