#include "data/synth_cells.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cytograd::synth {
namespace {

constexpr float pi = std::numbers::pi_v<float>;

Outline random_outline(float roughness, Philox& random) {
  Outline outline;
  for (int k = 0; k < 4; ++k) {
    const float amplitude = roughness / static_cast<float>(k + 1);
    outline.cosine[k] = std::clamp(amplitude * random.normal(), -0.22f, 0.22f);
    outline.sine[k] = std::clamp(amplitude * random.normal(), -0.22f, 0.22f);
  }
  return outline;
}

Cell random_cell(const SceneOptions& options, float scale, float field_angle, Philox& random) {
  const CellType& type = options.type;
  const Phenotype& traits = options.traits;
  Cell cell;
  cell.rounded = random.uniform() < 0.03f;
  cell.level = std::exp(0.32f * random.normal());

  // A class that elongates keeps the area: the long axis grows as the short one shrinks.
  const float elongation = vary(1.0f, 1.22f, traits[nucleus_elongation]) * std::exp(0.08f * random.normal());
  const float size =
      vary(scale * options.batch.size, 1.24f, traits[nucleus_size]) * std::exp(0.10f * random.normal());
  const float angle = field_angle + vary(0.65f, 0.45f, traits[actin_coherence]) * random.normal();
  Shape& nucleus = cell.nucleus;
  nucleus.major = type.nucleus_long * size * elongation;
  nucleus.minor = type.nucleus_short * size / elongation;
  nucleus.cosine = std::cos(angle);
  nucleus.sine = std::sin(angle);
  nucleus.outline = random_outline(vary(0.04f, 2.4f, traits[nucleus_lobes]), random);

  Shape& body = cell.body;
  const float stretch =
      vary(type.stretch, 1.35f, traits[cell_elongation]) * std::exp(0.12f * random.normal());
  const float reach = std::max(type.reach * scale * options.batch.size * std::exp(0.15f * random.normal()),
                               1.25f * nucleus.minor);
  body.major = reach * stretch;
  body.minor = reach / std::sqrt(stretch);
  const float turn = angle + 0.25f * random.normal();
  body.cosine = std::cos(turn);
  body.sine = std::sin(turn);
  body.outline = random_outline(0.10f, random);
  cell.fibre_angle = turn + 0.15f * random.normal();
  if (cell.rounded) {
    cell.level *= 1.9f;
    nucleus.major = nucleus.minor *= 0.8f;
    body.major = body.minor = 1.5f * nucleus.minor;
  }
  return cell;
}

void place(Cell& cell, float x, float y, Philox& random) {
  cell.nucleus.x = x;
  cell.nucleus.y = y;
  const float shift = cell.rounded ? 0.0f : 0.18f * cell.body.minor;
  cell.body.x = x + shift * random.normal();
  cell.body.y = y + shift * random.normal();
}

// Darts that keep nuclei apart; islands come from a slow noise that some places forbid.
std::vector<Cell> place_cells(const SceneOptions& options, float scale, Philox& random) {
  const float side = static_cast<float>(options.size);
  const float margin = 1.2f * options.type.reach * scale;
  const float extent = side + 2 * margin;
  const float per_pixel = vary(options.type.density, 1.5f, options.traits[density]) * options.batch.density /
                          (10000.0f * scale * scale);
  const float expected = per_pixel * extent * extent;
  const int count =
      std::max(1, static_cast<int>(std::lround(expected + 0.5f * std::sqrt(expected) * random.normal())));
  const float field_angle = random.uniform(0, 2 * pi);
  const Plane islands = smooth_noise(64, 26.0f, stream(random.bits(), Stream::cells));
  std::vector<Cell> cells;
  for (int i = 0; i < count; ++i) {
    Cell cell = random_cell(options, scale, field_angle, random);
    float spacing = 1.15f;
    for (int attempt = 0; attempt < 24; ++attempt, spacing *= 0.97f) {
      const float x = random.uniform(-margin, side + margin);
      const float y = random.uniform(-margin, side + margin);
      const float island = islands.at(std::clamp(static_cast<int>(64 * (y + margin) / extent), 0, 63),
                                      std::clamp(static_cast<int>(64 * (x + margin) / extent), 0, 63));
      if (island < -1.3f + 1.2f * options.type.clustering) continue;
      const bool free = std::none_of(cells.begin(), cells.end(), [&](const Cell& other) {
        const float apart =
            spacing * 0.5f *
            (cell.nucleus.major + cell.nucleus.minor + other.nucleus.major + other.nucleus.minor);
        const float dx = other.nucleus.x - x, dy = other.nucleus.y - y;
        return dx * dx + dy * dy < apart * apart;
      });
      if (!free) continue;
      place(cell, x, y, random);
      cells.push_back(cell);
      break;
    }
  }
  return cells;
}

struct Box {
  int top, bottom, left, right;  // the last ones included
};

Box bounds(const Shape& shape, float reach, int size) {
  const float across = reach * std::hypot(shape.major * shape.cosine, shape.minor * shape.sine);
  const float down = reach * std::hypot(shape.major * shape.sine, shape.minor * shape.cosine);
  const float end = static_cast<float>(size);
  if (shape.x + across < 0 || shape.y + down < 0 || shape.x - across >= end || shape.y - down >= end)
    return {0, -1, 0, -1};
  const auto clip = [size](float v) { return std::clamp(static_cast<int>(std::floor(v)), 0, size - 1); };
  return {clip(shape.y - down), clip(shape.y + down), clip(shape.x - across), clip(shape.x + across)};
}

// A pixel belongs to the cell it lies deepest in; the runner-up tells how near the common border is.
void divide_field(Scene& scene, int size, Philox random) {
  const Plane warp_x = smooth_noise(size, 14.0f * scene.scale, stream(random.bits(), Stream::cells));
  const Plane warp_y = smooth_noise(size, 14.0f * scene.scale, stream(random.bits(), Stream::cells));
  const float warp = 1.6f * scene.scale;
  Plane first(size, 1e3f), second(size, 1e3f);
  for (size_t id = 0; id < scene.cells.size(); ++id) {
    const Cell& cell = scene.cells[id];
    const Box box = bounds(cell.body, 1.35f, size);
    for (int row = box.top; row <= box.bottom; ++row)
      for (int column = box.left; column <= box.right; ++column) {
        const size_t i = static_cast<size_t>(row) * size + column;
        const float x = static_cast<float>(column) + 0.5f, y = static_cast<float>(row) + 0.5f;
        const float depth = cell.body.depth(x + warp * warp_x.values[i], y + warp * warp_y.values[i]);
        if (depth < first.values[i]) {
          second.values[i] = first.values[i];
          first.values[i] = depth;
          scene.owner[i] = static_cast<int>(id);
        } else {
          second.values[i] = std::min(second.values[i], depth);
        }
      }
  }
  for (size_t i = 0; i < scene.owner.size(); ++i) {
    if (scene.owner[i] < 0) continue;
    const float reach = scene.cells[scene.owner[i]].body.minor;
    const float to_rim = (1.0f - first.values[i]) * reach;
    const float to_neighbour = 0.5f * (second.values[i] - first.values[i]) * reach;
    scene.body.values[i] = smoothstep(-1.5f, 2.5f, to_rim);
    scene.edge.values[i] = std::max(0.0f, std::min(to_rim + 0.5f, to_neighbour));
    if (to_rim < -1.5f) scene.owner[i] = -1;
  }
}

void draw_nuclei(Scene& scene, int size) {
  for (size_t id = 0; id < scene.cells.size(); ++id) {
    const Shape& nucleus = scene.cells[id].nucleus;
    const float radius = std::sqrt(nucleus.major * nucleus.minor);
    const Box box = bounds(nucleus, 1.35f, size);
    for (int row = box.top; row <= box.bottom; ++row)
      for (int column = box.left; column <= box.right; ++column) {
        const size_t i = static_cast<size_t>(row) * size + column;
        const float depth = nucleus.depth(static_cast<float>(column) + 0.5f, static_cast<float>(row) + 0.5f);
        const float cover = smoothstep(-0.8f, 0.8f, (1.0f - depth) * radius);
        if (cover <= scene.nucleus.values[i]) continue;
        scene.nucleus.values[i] = cover;
        scene.dome.values[i] = cover * (0.72f + 0.28f * std::sqrt(std::max(0.0f, 1.0f - depth * depth)));
        if (cover < 0.5f) continue;
        scene.owner[i] = static_cast<int>(id);
        scene.body.values[i] = 1.0f;
        scene.edge.values[i] = std::max(scene.edge.values[i], 2.0f + (1.0f - depth) * radius);
      }
  }
}

}  // namespace

float Shape::depth(float px, float py) const {
  const float dx = px - x, dy = py - y;
  const float u = (dx * cosine + dy * sine) / major;
  const float v = (dy * cosine - dx * sine) / minor;
  const float length = std::sqrt(u * u + v * v);
  if (length < 1e-4f) return 0.0f;
  if (length > 2.5f) return length;  // far outside, where the outline no longer matters
  return length / outline.radius(u / length, v / length);
}

Scene make_scene(const SceneOptions& options, Philox random) {
  const int size = options.size;
  Scene scene;
  // Small pictures are a smaller field, not only a coarser one: organelles must stay larger than a pixel.
  scene.scale = std::min(1.0f, 0.6f + 0.1f * static_cast<float>(size) / 128.0f);
  scene.cells = place_cells(options, scene.scale, random);
  scene.owner.assign(static_cast<size_t>(size) * size, -1);
  scene.nucleus = scene.dome = scene.body = scene.edge = scene.outside = Plane(size);
  divide_field(scene, size, random);
  draw_nuclei(scene, size);
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) {
      const size_t i = static_cast<size_t>(row) * size + column;
      if (scene.owner[i] < 0) continue;
      const Shape& nucleus = scene.cells[scene.owner[i]].nucleus;
      const float depth = nucleus.depth(static_cast<float>(column) + 0.5f, static_cast<float>(row) + 0.5f);
      scene.outside.values[i] = std::max(0.0f, depth - 1.0f) * std::sqrt(nucleus.major * nucleus.minor);
    }
  return scene;
}

}  // namespace cytograd::synth
