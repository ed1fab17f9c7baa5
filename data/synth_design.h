// The experimental design of a synthetic dataset: which class sits where, what a class does to a cell, and
// how the batches differ.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/synth.h"
#include "engine/philox.h"

namespace cytograd::synth {

constexpr int channel_count = 6;
constexpr int empty_id = 1138;  // the untreated control of RxRx1
enum Channel { nuclei, reticulum, actin, rna, mitochondria, golgi };

/// What a class may change. A phenotype holds one value in [-1, 1] for each; 0 is the untreated cell.
enum Trait {
  density,
  nucleus_size,
  nucleus_elongation,
  nucleus_lobes,
  nucleolus_count,
  nucleolus_size,
  cell_elongation,
  reticulum_grain,
  reticulum_reach,
  mitochondria_length,
  mitochondria_reach,
  golgi_spread,
  golgi_fragments,
  actin_coherence,
  actin_cortex,
  trait_count
};
using Phenotype = std::array<float, trait_count>;

/// base * factor^trait: a trait of 1 multiplies by the factor, -1 divides by it.
float vary(float base, float factor, float trait);

/// Lengths in pixels of RxRx1's 512-pixel sites; levels in grey values.
struct CellType {
  const char* name;
  float density;     // cells per 100 x 100 pixels
  float clustering;  // 0: even, 1: in islands
  float nucleus_long, nucleus_short;
  float reach;        // semi-axis of an unhindered cell
  float stretch;      // its elongation
  float fibres;       // strength of actin stress fibres
  float perinuclear;  // how far the ER reaches from the nucleus
  float haze;         // light from outside the focal plane: thick cultures have more
  float debris;       // bright specks per 256 x 256 pixels
  std::array<float, channel_count> background, level;
};

/// What an experiment and a plate do to the picture of any cell.
struct Batch {
  float density = 1;
  float size = 1;
  std::array<float, channel_count> gain, offset, blur, haze;
  std::array<std::array<float, 3>, channel_count> illumination;  // tilt along x, along y, and a bowl
};

/// Distinct random streams of one place in the design.
enum class Stream : uint32_t { classes, layout, batch, well, cells, texture, noise };
Philox stream(uint64_t seed, Stream purpose, const SynthIndex& index = {});

/// Throws Error naming the option that is out of range.
void check_options(const SynthOptions& options);

class Design {
 public:
  explicit Design(const SynthOptions& options);

  const SynthOptions& options() const { return options_; }
  int train_experiments() const;
  const CellType& cell_type(int experiment) const;
  /// The class of a well, or -1 for the control.
  int label(const SynthIndex& index) const;
  /// The class's traits, weakened a little and unequally from well to well.
  Phenotype phenotype(const SynthIndex& index) const;
  Batch batch(const SynthIndex& index) const;
  SynthSite describe(const SynthIndex& index) const;

 private:
  SynthOptions options_;
  std::vector<Phenotype> phenotypes_;  // [classes]
};

}  // namespace cytograd::synth
