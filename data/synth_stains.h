// What the six dyes show of a scene, and what a microscope makes of it.
#pragma once

#include <array>

#include "data/image.h"
#include "data/synth_cells.h"

namespace cytograd::synth {

/// One plane a channel; 1 is the brightness of a typical stained structure.
using Stains = std::array<Plane, channel_count>;

Stains stain(const Scene& scene, const CellType& type, const Phenotype& traits, Philox random);

/// Out-of-focus haze, illumination, blur, gain, offset and shot noise, rounded to 8 bits: [size, size, 6].
Image expose(Stains stains, const CellType& type, const Batch& batch, Philox random);

}  // namespace cytograd::synth
