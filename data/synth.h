// A small cell-painting simulator: six-channel sites whose classes differ in morphology and whose experiments
// and plates differ in everything else, in the layout of the RxRx1 release of rxrx.ai. It exists so that the
// whole path from pixels to predictions can be tried without a download; it is no model of biology.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "data/image.h"

namespace cytograd {

struct SynthOptions {
  int experiments = 4;        ///< 1 to 999; the first three quarters are the training set
  int plates = 2;             ///< 1 to 99 an experiment
  int wells = 24;             ///< 2 to 308 a plate, of which B02 is the untreated control
  int classes = 8;            ///< 2 to 1138, and no more than an experiment has treated wells
  int size = 128;             ///< 32 to 2048 pixels a side
  int sites = 2;              ///< 1 to 99 a well
  uint64_t seed = 0;          ///< one seed, one dataset
  int threads = 0;            ///< 0: one a core; the result does not depend on it
  bool batch_effects = true;  ///< false: every experiment is imaged alike (cell types still differ)
};

struct SynthReport {
  int64_t images = 0;  ///< PNG files written, six a site
  int64_t sites = 0;
  int64_t wells = 0;
};

/// A site by its place in the design; every index counts from 0.
struct SynthIndex {
  int experiment = 0;
  int plate = 0;
  int well = 0;
  int site = 0;
};

/// One row of metadata.csv.
struct SynthSite {
  std::string site_id;     ///< HUVEC-01_1_B02_1
  std::string well_id;     ///< HUVEC-01_1_B02
  std::string cell_type;   ///< HUVEC, RPE, U2OS or HEPG2
  std::string dataset;     ///< train or test, by experiment
  std::string experiment;  ///< HUVEC-01
  int plate = 1;           ///< from 1
  std::string well;        ///< B02 to O23
  int site = 1;            ///< from 1
  std::string well_type;   ///< treatment or negative_control
  std::string sirna;       ///< sirna_0 ..., or EMPTY for the control
  int sirna_id = 0;        ///< 0 to classes - 1, or 1138 for the control
};

/// What stands at a place of the design. Throws Error for bad options, CheckError for an index outside them.
SynthSite describe_site(const SynthOptions& options, const SynthIndex& index);

/// The pixels of a site, [size, size, 6], channels in the order nuclei, ER, actin, nucleoli/RNA,
/// mitochondria, Golgi. A pure function of its arguments. Throws as describe_site does.
Image render_site(const SynthOptions& options, const SynthIndex& index);

/// Writes images/{EXP}/Plate{p}/{well}_s{s}_w{c}.png and, last of all, metadata.csv under `out`, which must
/// be absent or empty. `progress(sites done, sites in all)` is called by one thread at a time. Throws Error
/// for bad options, for an `out` that holds anything, and for a file that cannot be written.
SynthReport synthesize(const std::filesystem::path& out, const SynthOptions& options,
                       const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace cytograd
