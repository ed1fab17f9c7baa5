// What --fusion of a run needs beside its settings: the colours, or the principal components.
#pragma once

#include <optional>

#include "data/colormap.h"
#include "data/pca_file.h"
#include "tools/run_folder.h"

namespace cytograd {

struct LoadedData;

/// At most one of the two; none for the fusions none and learned.
struct FusionTables {
  std::optional<Colormap> colormap;
  std::optional<PcaFit> pca;
};

/// For a new run: --colormap or the colours of RxRx1; for pca the components of all pixels of the training samples,
/// fitted on `device`. Takes note of those that cannot be read, as LoadedData does.
FusionTables make_fusion_tables(const TrainOptions& options, LoadedData& images,
                                const std::vector<int64_t>& train, Device device);

void write_fusion_tables(const FusionTables& fusion, const RunFolder& folder);
/// Those of a run. Throws Error naming the file where it is absent or malformed.
FusionTables read_fusion_tables(const TrainOptions& options, const RunFolder& folder);

/// Tells tables apart, for the metadata of weights; "" without one.
std::string fusion_fingerprint(const FusionTables& fusion);

}  // namespace cytograd
