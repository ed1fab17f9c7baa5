#include "tools/fusion_tables.h"

#include "data/checksum.h"
#include "data/pca_scopes.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "tools/pipeline.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

constexpr const char* kScope = "training images";

PcaFit only_fit(const std::filesystem::path& file) {
  const PcaFile pca = read_pca(file);
  if (pca.fits.size() != 1)
    fail("{}: has the components of {} scopes, but a run has one", file.string(), pca.fits.size());
  return pca.fits.begin()->second;
}

}  // namespace

FusionTables make_fusion_tables(const TrainOptions& options, LoadedData& images,
                                const std::vector<int64_t>& train, Device device) {
  FusionTables tables;
  if (options.fusion == "colormap")
    tables.colormap = options.colormap.empty() ? Colormap::rxrx1() : read_colormap(options.colormap);
  if (options.fusion == "pca") {
    PcaFits fits;
    {
      Progress progress("fitting", static_cast<int64_t>(train.size()), "images");
      fits = fit_pca_scopes(*images.store, train, std::vector<std::string>(train.size(), kScope),
                            {.components = options.components,
                             .range = PcaRange::none,
                             .workers = static_cast<int>(options.workers),
                             .device = device,
                             .progress = [&](int64_t done) { progress.update(done); }});
    }
    images.add_unreadable(fits.unreadable);
    if (fits.fits.empty()) fail("no training image can be read");
    tables.pca = fits.fits.begin()->second;
  }
  return tables;
}

void write_fusion_tables(const FusionTables& fusion, const RunFolder& folder) {
  if (fusion.colormap) write_text_file(folder.colormap(), fusion.colormap->csv());
  if (fusion.pca) {
    const PcaFile file{.scope = "dataset", .fingerprint = "", .fits = {{kScope, *fusion.pca}}};
    write_text_file(folder.pca(), format_pca(file));
  }
}

FusionTables read_fusion_tables(const TrainOptions& options, const RunFolder& folder) {
  FusionTables tables;
  if (options.fusion == "colormap") tables.colormap = read_colormap(folder.colormap());
  if (options.fusion == "pca") tables.pca = only_fit(folder.pca());
  return tables;
}

std::string fusion_fingerprint(const FusionTables& fusion) {
  std::string text;
  if (fusion.colormap) text = fusion.colormap->csv();
  if (fusion.pca) {
    const Pca& pca = fusion.pca->pca;
    for (const double v : pca.mean) text += fmt::format("{} ", v);
    for (const std::vector<double>& component : pca.components)
      text += fmt::format("{} ", fmt::join(component, " "));
  }
  return text.empty() ? "" : checksum_text(crc32_of(text));
}

}  // namespace cytograd
