// Where the cells of a site lie, and which pixel belongs to which part of which cell: the geometry that all
// six channels share.
#pragma once

#include <array>
#include <vector>

#include "data/synth_design.h"
#include "data/synth_plane.h"

namespace cytograd::synth {

/// An outline r(angle) = 1 + sum over k = 2..5 of cosine[k-2] cos(k angle) + sine[k-2] sin(k angle).
struct Outline {
  std::array<float, 4> cosine{};
  std::array<float, 4> sine{};
  /// r in the direction of the unit vector (c, s).
  float radius(float c, float s) const {
    float ck = c, sk = s, r = 1.0f;
    for (size_t k = 0; k < 4; ++k) {  // from (cos, sin) of k angle to those of (k + 1) angle
      const float next = ck * c - sk * s;
      sk = sk * c + ck * s;
      ck = next;
      r += cosine[k] * ck + sine[k] * sk;
    }
    return r > 0.35f ? r : 0.35f;
  }
};

/// An ellipse bent by an outline; lengths in pixels.
struct Shape {
  float x = 0, y = 0;
  float major = 1, minor = 1;
  float cosine = 1, sine = 0;  // of the long axis
  Outline outline;
  /// 0 in the centre, 1 on the border, growing outwards.
  float depth(float px, float py) const;
};

struct Cell {
  Shape nucleus;
  Shape body;
  float level = 1;        // how strongly this cell stains
  float fibre_angle = 0;  // of its stress fibres
  bool rounded = false;   // detached or dividing: small, thick and bright
};

/// Cells and, for every pixel, the cell it belongs to.
struct Scene {
  float scale = 1;  // pixels of this picture per pixel of a 512-pixel RxRx1 site
  std::vector<Cell> cells;
  std::vector<int> owner;  // [size * size], -1 outside every cell
  Plane nucleus;           // coverage by a nucleus, 0 to 1
  Plane dome;              // thickness of the nucleus, 0 to 1
  Plane body;              // coverage by a cell, 0 to 1
  Plane edge;              // pixels to the cell's border, from within
  Plane outside;           // pixels from the owner's nucleus
};

/// What decides the geometry of a site.
struct SceneOptions {
  int size = 128;
  const CellType& type;
  const Phenotype& traits;
  const Batch& batch;
};

Scene make_scene(const SceneOptions& options, Philox random);

}  // namespace cytograd::synth
