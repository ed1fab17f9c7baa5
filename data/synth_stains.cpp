#include "data/synth_stains.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cytograd::synth {
namespace {

constexpr float pi = std::numbers::pi_v<float>;

struct Site {
  const Scene& scene;
  const CellType& type;
  const Phenotype& traits;
  int size;
  float scale;
};

Philox child(Philox& random) { return stream(random.bits(), Stream::texture); }

// Cells are thin at their borders, so there is less of everything that fills them.
float thickness(const Site& site, size_t pixel) {
  return site.scene.body.values[pixel] *
         (0.42f + 0.58f * smoothstep(0.0f, 9.0f * site.scale, site.scene.edge.values[pixel]));
}

// A random point of a cell's interior, `from` to `to` pixels outside its nucleus.
std::array<float, 2> around_nucleus(const Cell& cell, float from, float to, float angle, Philox& random) {
  const Shape& n = cell.nucleus;
  const float c = std::cos(angle), s = std::sin(angle);
  const float r = n.outline.radius(c, s);
  const float u = c * r * n.major, v = s * r * n.minor;
  const float length = std::max(std::sqrt(u * u + v * v), 1e-3f);
  const float grow = 1.0f + random.uniform(from, to) / length;
  return {n.x + grow * (u * n.cosine - v * n.sine), n.y + grow * (u * n.sine + v * n.cosine)};
}

struct Thread {
  Spot start;  // width, brightness and first point
  float angle = 0;
  float length = 1;
  float bend = 0;  // radians a step, at random
  int only = -1;   // the cell it stays in, or -1
};

void draw_thread(Plane& plane, const Site& site, const Thread& thread, Philox& random) {
  const float step = std::max(0.6f, 0.8f * thread.start.sigma);
  const float steps = std::max(1.0f, std::round(thread.length / step));
  float c = std::cos(thread.angle), s = std::sin(thread.angle);
  Spot spot = thread.start;
  for (float i = 0; i < steps; ++i) {
    const float middle = (i + 0.5f) / steps - 0.5f;
    spot.amplitude = thread.start.amplitude * (1.2f - 3.6f * middle * middle);  // thin ends
    add_spot(plane, spot, thread.only < 0 ? nullptr : &site.scene.owner, thread.only);
    const float turn = thread.bend * rough_normal(random);
    const float norm = 1.0f / std::sqrt(1.0f + turn * turn);
    const float turned = (c - turn * s) * norm;
    s = (s + turn * c) * norm;
    c = turned;
    spot.x += step * c;
    spot.y += step * s;
  }
}

// DNA: domes of fine chromatin.
Plane stain_nuclei(const Site& site, Philox random) {
  const Plane chromatin = smooth_noise(site.size, 4.0f * site.scale, child(random));
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i) {
    const int id = site.scene.owner[i];
    const float level = id < 0 ? 1.0f : site.scene.cells[id].level;
    plane.values[i] = site.scene.dome.values[i] * level * (1.0f + 0.13f * chromatin.values[i]) +
                      0.06f * site.scene.body.values[i];
  }
  return plane;
}

// The reticulum: a net, bright at the nuclear envelope, fading outwards; nearly absent from the nucleus.
Plane stain_reticulum(const Site& site, Philox random) {
  const float mesh = vary(7.0f * site.scale, 1.6f, site.traits[reticulum_grain]);
  const float reach = vary(site.type.perinuclear * site.scale, 1.7f, site.traits[reticulum_reach]);
  const Plane net = band_noise(site.size, mesh, child(random));
  const Plane patches = smooth_noise(site.size, 22.0f * site.scale, child(random));
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i) {
    const int id = site.scene.owner[i];
    if (id < 0) continue;
    const float sheet = 1.0f - 0.55f * std::min(1.6f, std::abs(net.values[i]));  // bright on the zero lines
    const float near = std::exp(-site.scene.outside.values[i] / reach);
    const float patch = std::max(0.35f, 1.0f + 0.35f * patches.values[i]);
    const float cytoplasm = (0.25f + 1.25f * near) * patch * (0.35f + 0.9f * sheet);
    const float inside = 0.34f + 0.05f * net.values[i];
    const float cover = site.scene.nucleus.values[i];
    plane.values[i] =
        site.scene.cells[id].level * thickness(site, i) * (cytoplasm * (1.0f - cover) + inside * cover);
  }
  return plane;
}

// Actin: a veil, the cortex along cell borders, and straight stress fibres along the cell.
Plane stain_actin(const Site& site, Philox random) {
  const Plane veil = smooth_noise(site.size, 9.0f * site.scale, child(random));
  const float cortex = vary(0.65f, 2.2f, site.traits[actin_cortex]);
  const float width = 1.7f * site.scale;
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i) {
    const int id = site.scene.owner[i];
    if (id < 0) continue;
    const float e = site.scene.edge.values[i] / width;
    const float rim = cortex * std::exp(-0.5f * e * e) * (1.0f + 0.3f * veil.values[i]);
    plane.values[i] =
        site.scene.body.values[i] * (site.scene.cells[id].level * (0.62f + 0.16f * veil.values[i]) + rim);
  }
  const float spread = vary(0.24f, 0.35f, site.traits[actin_coherence]);
  for (size_t id = 0; id < site.scene.cells.size(); ++id) {
    const Cell& cell = site.scene.cells[id];
    const int fibres = static_cast<int>(std::lround(16.0f * site.type.fibres * random.uniform(0.5f, 1.5f)));
    for (int fibre = 0; fibre < fibres; ++fibre) {
      const float angle = cell.fibre_angle + std::min(spread, 1.6f) * random.normal();
      const float length = cell.body.major * random.uniform(0.7f, 2.1f);
      const float aside = 0.8f * cell.body.minor * random.uniform(-1, 1);
      const float c = std::cos(angle), s = std::sin(angle);
      const float back = length * random.uniform(0.3f, 0.7f);
      const float strength = random.uniform();  // mostly faint, a few strong
      const Spot start = {.x = cell.body.x - aside * s - back * c,
                          .y = cell.body.y + aside * c - back * s,
                          .sigma = 0.6f,
                          .amplitude = 0.5f * strength * random.uniform(0.3f, 1.2f)};
      // Fibres run on over neighbours.
      draw_thread(plane, site, {.start = start, .angle = angle, .length = length, .bend = 0.012f}, random);
    }
  }
  return plane;
}

// RNA follows the reticulum's ribosomes; nucleoli stand out in the nucleus.
Plane stain_rna(const Site& site, const Plane& reticulum_plane, Philox random) {
  const float typical = vary(3.0f, 2.0f, site.traits[nucleolus_count]);
  const float size = vary(2.0f * site.scale, 1.45f, site.traits[nucleolus_size]);
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i)
    plane.values[i] =
        0.62f * reticulum_plane.values[i] + 0.22f * thickness(site, i) + 0.14f * site.scene.nucleus.values[i];
  for (size_t id = 0; id < site.scene.cells.size(); ++id) {
    const Cell& cell = site.scene.cells[id];
    const int count = std::max(1, static_cast<int>(std::lround(typical + 0.7f * random.normal())));
    const float start = random.uniform(0, 2 * pi);
    for (int k = 0; k < count; ++k) {
      const float angle =
          start + 2 * pi * (static_cast<float>(k) + 0.4f * random.uniform(-1, 1)) / static_cast<float>(count);
      const float away = count == 1 ? random.uniform(0, 0.3f) : random.uniform(0.3f, 0.62f);
      const float u = away * cell.nucleus.major * std::cos(angle);
      const float v = away * cell.nucleus.minor * std::sin(angle);
      add_spot(plane, {.x = cell.nucleus.x + u * cell.nucleus.cosine - v * cell.nucleus.sine,
                       .y = cell.nucleus.y + u * cell.nucleus.sine + v * cell.nucleus.cosine,
                       .sigma = size * random.uniform(0.75f, 1.1f),
                       .amplitude = cell.level * random.uniform(0.7f, 1.3f)});
    }
  }
  return plane;
}

// Mitochondria: threads that wind around the nucleus; a class may break them into grains or draw them out.
Plane stain_mitochondria(const Site& site, Philox random) {
  const float length = vary(7.0f * site.scale, 2.6f, site.traits[mitochondria_length]);
  const float reach = vary(0.55f, 1.6f, site.traits[mitochondria_reach]);
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i) {
    const float cover = site.scene.nucleus.values[i];
    const float near = std::exp(-site.scene.outside.values[i] / (12.0f * site.scale));
    const int id = site.scene.owner[i];
    if (id < 0) continue;
    plane.values[i] =
        thickness(site, i) * site.scene.cells[id].level * (0.10f + (1.0f - cover) * 0.48f * near);
  }
  for (size_t id = 0; id < site.scene.cells.size(); ++id) {
    const Cell& cell = site.scene.cells[id];
    const float room = std::max(3.0f, reach * (cell.body.minor - 0.6f * cell.nucleus.minor));
    const float area = cell.body.minor * cell.body.major;
    // Short threads are many, so that the stained mass stays about the same.
    const float threads = std::clamp(0.62f * area / (site.scale * (length + 2.0f)), 4.0f, 260.0f);
    for (float k = 0; k < threads; ++k) {
      const float angle = random.uniform(0, 2 * pi);
      const float t = random.uniform();
      const auto [x, y] = around_nucleus(cell, 1.0f + room * t * t, 1.5f + room * t, angle, random);
      const Spot start = {
          .x = x, .y = y, .sigma = 0.72f, .amplitude = cell.level * random.uniform(0.1f, 0.42f)};
      const float along = std::atan2(y - cell.nucleus.y, x - cell.nucleus.x) + 0.5f * pi;
      const Thread thread = {.start = start,
                             .angle = along + 0.7f * random.normal(),
                             .length = length * random.uniform(0.4f, 1.5f),
                             .bend = 0.22f,
                             .only = static_cast<int>(id)};
      draw_thread(plane, site, thread, random);
    }
  }
  for (size_t i = 0; i < plane.values.size(); ++i)
    plane.values[i] *= 1.0f - 0.75f * site.scene.nucleus.values[i];
  return plane;
}

// Golgi: a ribbon beside the nucleus, compact or scattered, over the cytoplasm and the actin that bleeds in.
Plane stain_golgi(const Site& site, const Plane& actin_plane, Philox random) {
  const float spread = vary(0.42f, 2.4f, site.traits[golgi_spread]);
  const float fragments = vary(11.0f, 1.8f, site.traits[golgi_fragments]);
  const Plane veil = smooth_noise(site.size, 8.0f * site.scale, child(random));
  Plane plane(site.size);
  for (size_t i = 0; i < plane.values.size(); ++i) {
    const int id = site.scene.owner[i];
    const float level = id < 0 ? 1.0f : site.scene.cells[id].level;
    plane.values[i] = 0.16f * actin_plane.values[i] + 0.34f * level * site.scene.nucleus.values[i] +
                      thickness(site, i) * (0.22f + 0.04f * veil.values[i]);
  }
  for (size_t id = 0; id < site.scene.cells.size(); ++id) {
    const Cell& cell = site.scene.cells[id];
    const float side = random.uniform(0, 2 * pi);
    const float amplitude = cell.level * 1.9f / std::sqrt(fragments);
    for (float k = 0; k < fragments; ++k) {
      const float angle = side + spread * random.normal();
      const float out = (1.0f + 3.0f * spread) * site.scale;
      const auto [x, y] = around_nucleus(cell, 0.3f * site.scale, out + 2.0f * site.scale, angle, random);
      add_spot(plane,
               {.x = x,
                .y = y,
                .sigma = random.uniform(0.9f, 1.7f) * std::max(site.scale, 0.75f),
                .amplitude = amplitude * random.uniform(0.5f, 1.4f)},
               &site.scene.owner, static_cast<int>(id));
    }
  }
  return plane;
}

// Dead cells and dust shine in every channel.
void add_debris(Stains& stains, const Site& site, Philox random) {
  const float side = static_cast<float>(site.size) / (256.0f * site.scale);
  const float expected = site.type.debris * side * side;
  const float wanted = 2.0f * expected * random.uniform();
  const int count = static_cast<int>(wanted + random.uniform());
  for (int k = 0; k < count; ++k) {
    Spot spot = {.x = random.uniform(0, static_cast<float>(site.size)),
                 .y = random.uniform(0, static_cast<float>(site.size)),
                 .sigma = random.uniform(1.2f, 4.0f) * site.scale};
    const float brightness = random.uniform(0.8f, 4.0f);
    for (Plane& plane : stains) {
      spot.amplitude = brightness * random.uniform(0.1f, 1.0f);
      add_spot(plane, spot);
    }
  }
}

}  // namespace

Stains stain(const Scene& scene, const CellType& type, const Phenotype& traits, Philox random) {
  const Site site = {scene, type, traits, scene.nucleus.size, scene.scale};
  Stains stains;
  stains[nuclei] = stain_nuclei(site, child(random));
  stains[reticulum] = stain_reticulum(site, child(random));
  stains[actin] = stain_actin(site, child(random));
  stains[rna] = stain_rna(site, stains[reticulum], child(random));
  stains[mitochondria] = stain_mitochondria(site, child(random));
  stains[golgi] = stain_golgi(site, stains[actin], child(random));
  add_debris(stains, site, child(random));
  return stains;
}

}  // namespace cytograd::synth
