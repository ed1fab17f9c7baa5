#include "data/synth_design.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/check.h"

namespace cytograd::synth {
namespace {

constexpr int plate_columns = 22;  // 02 to 23; rows B to O: the inner wells of a 384-well plate
constexpr int plate_wells = 308;

// Sizes, densities and levels were read off untreated wells of RxRx1. Mitochondria are lifted above the two
// or three grey values they have there, which would leave nothing of their shape.
constexpr std::array<CellType, 4> cell_types = {{
    {"HUVEC",
     4.2f,
     0.20f,
     12.5f,
     8.7f,
     33.0f,
     1.35f,
     0.9f,
     9.0f,
     0.30f,
     1.2f,
     {2, 6, 4, 4, 1, 6},
     {15, 34, 8, 17, 11, 20}},
    {"RPE",
     2.9f,
     0.10f,
     15.5f,
     10.5f,
     47.0f,
     1.50f,
     1.3f,
     14.0f,
     0.30f,
     0.8f,
     {2, 2, 3, 2, 1, 4},
     {14, 20, 14, 13, 14, 19}},
    {"U2OS",
     4.4f,
     0.10f,
     15.5f,
     12.0f,
     34.0f,
     1.20f,
     0.7f,
     11.0f,
     0.30f,
     0.9f,
     {2, 3, 3, 2, 1, 4},
     {25, 19, 11, 11, 10, 26}},
    {"HEPG2",
     30.0f,
     0.30f,
     10.0f,
     8.3f,
     21.0f,
     1.10f,
     0.05f,
     10.0f,
     0.60f,
     4.0f,
     {4, 8, 9, 8, 8, 9},
     {50, 34, 34, 38, 70, 46}},
}};

// A Latin hypercube: along every trait the classes are evenly spaced, in an order of that trait's own.
std::vector<Phenotype> latin_hypercube(int classes, Philox& random) {
  std::vector<Phenotype> points(classes);
  std::vector<int> order(classes);
  for (int trait = 0; trait < trait_count; ++trait) {
    std::iota(order.begin(), order.end(), 0);
    shuffle(order, random);
    for (int c = 0; c < classes; ++c)
      points[c][trait] = 2.0f * static_cast<float>(order[c]) / static_cast<float>(classes - 1) - 1.0f;
  }
  return points;
}

float squared_distance(const Phenotype& p, const Phenotype& q) {
  float sum = 0;
  for (int trait = 0; trait < trait_count; ++trait) sum += (p[trait] - q[trait]) * (p[trait] - q[trait]);
  return sum;
}

float closest_pair(const std::vector<Phenotype>& points) {
  float closest = INFINITY;
  for (size_t i = 0; i < points.size(); ++i)
    for (size_t j = 0; j < i; ++j) closest = std::min(closest, squared_distance(points[i], points[j]));
  return closest;
}

// Of several hypercubes the one whose closest two classes are farthest apart.
std::vector<Phenotype> separated_phenotypes(int classes, uint64_t seed) {
  Philox random = stream(seed, Stream::classes);
  std::vector<Phenotype> best = latin_hypercube(classes, random);
  float best_distance = closest_pair(best);
  for (int trial = 0; trial < 4096 / (classes * classes); ++trial) {
    std::vector<Phenotype> points = latin_hypercube(classes, random);
    const float distance = closest_pair(points);
    if (distance <= best_distance) continue;
    best_distance = distance;
    best = std::move(points);
  }
  return best;
}

void add_batch(Batch& batch, Philox random, float strength) {
  batch.density *= vary(1.0f, 1.0f + 0.35f * strength, random.uniform(-1, 1));
  batch.size *= vary(1.0f, 1.0f + 0.08f * strength, random.uniform(-1, 1));
  for (int c = 0; c < channel_count; ++c) {
    batch.gain[c] *= vary(1.0f, 1.0f + 0.45f * strength, random.uniform(-1, 1));
    batch.offset[c] *= vary(1.0f, 1.0f + 0.60f * strength, random.uniform(-1, 1));
    batch.blur[c] *= vary(1.0f, 1.0f + 0.50f * strength, random.uniform(-1, 1));
    batch.haze[c] *= vary(1.0f, 1.0f + 0.60f * strength, random.uniform(-1, 1));
    batch.illumination[c][0] += 0.16f * strength * random.uniform(-1, 1);
    batch.illumination[c][1] += 0.16f * strength * random.uniform(-1, 1);
    batch.illumination[c][2] += 0.22f * strength * random.uniform(-0.2f, 1);
  }
}

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) fail("synth: {} is {}; it must be {} to {}", name, value, low, high);
}

}  // namespace

float vary(float base, float factor, float trait) { return base * std::pow(factor, trait); }

Philox stream(uint64_t seed, Stream purpose, const SynthIndex& index) {
  const uint64_t place = (static_cast<uint64_t>(index.experiment) << 32) |
                         (static_cast<uint64_t>(index.plate) << 24) |
                         (static_cast<uint64_t>(index.well) << 8) | static_cast<uint64_t>(index.site);
  return Philox(seed, place, static_cast<uint32_t>(purpose));
}

void check_options(const SynthOptions& options) {
  check_range("experiments", options.experiments, 1, 999);
  check_range("plates", options.plates, 1, 99);
  check_range("wells", options.wells, 2, plate_wells);
  check_range("classes", options.classes, 2, empty_id);
  check_range("size", options.size, 32, 2048);
  check_range("sites", options.sites, 1, 99);
  check_range("threads", options.threads, 0, 1024);
  const int treated = options.plates * (options.wells - 1);
  if (options.classes > treated)
    fail("synth: {} classes do not fit the {} treated wells of an experiment; give more wells or plates",
         options.classes, treated);
}

Design::Design(const SynthOptions& options) : options_(options) {
  check_options(options);
  phenotypes_ = separated_phenotypes(options.classes, options.seed);
}

int Design::train_experiments() const {
  if (options_.experiments == 1) return 1;
  return std::min(options_.experiments - 1, (3 * options_.experiments + 3) / 4);
}

// Test experiments begin the round of cell types anew, so each tests a type that was trained on.
const CellType& Design::cell_type(int experiment) const {
  const int train = train_experiments();
  return cell_types[(experiment < train ? experiment : experiment - train) % cell_types.size()];
}

// Classes are dealt in turn over an experiment's plates, so every plate with at least as many treated wells
// as there are classes holds them all; within a plate each takes a random place.
int Design::label(const SynthIndex& index) const {
  if (index.well == 0) return -1;
  const int treated = options_.wells - 1;
  std::vector<int> order(treated);
  std::iota(order.begin(), order.end(), index.plate * treated);
  Philox random =
      stream(options_.seed, Stream::layout, {.experiment = index.experiment, .plate = index.plate});
  shuffle(order, random);
  return order[index.well - 1] % options_.classes;
}

Phenotype Design::phenotype(const SynthIndex& index) const {
  const int c = label(index);
  if (c < 0) return Phenotype{};
  Phenotype traits = phenotypes_[c];
  Philox random = stream(options_.seed, Stream::well, {index.experiment, index.plate, index.well, 0});
  const float penetrance = random.uniform(0.8f, 1.0f);
  for (float& trait : traits) trait = penetrance * trait + 0.08f * random.normal();
  return traits;
}

Batch Design::batch(const SynthIndex& index) const {
  Batch batch;
  batch.gain.fill(1.0f);
  batch.offset.fill(1.0f);
  batch.blur.fill(0.6f);
  batch.haze.fill(1.0f);
  batch.illumination = {};
  if (!options_.batch_effects) return batch;
  // Plates of one experiment differ about a third as much as experiments do.
  add_batch(batch, stream(options_.seed, Stream::batch, {.experiment = index.experiment, .plate = 255}),
            1.0f);
  add_batch(batch,
            stream(options_.seed, Stream::batch, {.experiment = index.experiment, .plate = index.plate}),
            0.35f);
  return batch;
}

SynthSite Design::describe(const SynthIndex& index) const {
  const int train = train_experiments();
  const CellType& type = cell_type(index.experiment);
  int number = 0;
  for (int e = 0; e <= index.experiment; ++e) number += &cell_type(e) == &type;
  const int c = label(index);
  SynthSite site;
  site.cell_type = type.name;
  site.dataset = index.experiment < train ? "train" : "test";
  site.experiment = fmt::format("{}-{:02}", type.name, number);
  site.plate = index.plate + 1;
  site.well = fmt::format("{}{:02}", static_cast<char>('B' + index.well / plate_columns),
                          2 + index.well % plate_columns);
  site.site = index.site + 1;
  site.well_id = fmt::format("{}_{}_{}", site.experiment, site.plate, site.well);
  site.site_id = fmt::format("{}_{}", site.well_id, site.site);
  site.well_type = c < 0 ? "negative_control" : "treatment";
  site.sirna = c < 0 ? "EMPTY" : fmt::format("sirna_{}", c);
  site.sirna_id = c < 0 ? empty_id : c;
  return site;
}

}  // namespace cytograd::synth
