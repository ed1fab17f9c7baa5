// PNG specification (W3C, third edition), section 9: each byte is a difference to a prediction from a, the byte one
// pixel to the left, b, the one above, and c, the one above a; all arithmetic is modulo 256.
//   1 Sub: a    2 Up: b    3 Average: floor((a + b) / 2)    4 Paeth: that of a, b, c which is nearest to a + b - c
// Along a row each byte waits for the one before it, up to 8 ns a byte of Paeth in plain C++. But a pixel needs nothing
// of its row's right or of the rows below: sixteen rows are decoded at once, each one pixel behind the row above it, as
// sixteen lanes. What bounds it is the chain through one step of all four predictors: 0.6 ns a byte of 8-bit grey.
#include "data/png_unfilter.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace cytograd {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kPitch = kLanes + 1;  // the row above the first, and the lanes
using Lanes = uint8_t __attribute__((vector_size(kLanes)));
enum Filter : uint8_t { kNone, kSub, kUp, kAverage, kPaeth, kFilters };

Lanes load(const uint8_t* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

void store(Lanes lanes, uint8_t* to) { std::memcpy(to, &lanes, sizeof(lanes)); }

Lanes where(Lanes mask, Lanes yes, Lanes no) { return (mask & yes) | (~mask & no); }
Lanes distance(Lanes x, Lanes y) { return x > y ? x - y : y - x; }

/// Distances of a + b - c to a, b and c in 8 bits: |b - c|, |a - c| and, where b - c and a - c have different signs,
/// the difference of these two; with equal signs c is the farthest.
Lanes paeth(Lanes a, Lanes b, Lanes c) {
  const Lanes pa = distance(b, c), pb = distance(a, c);
  const auto same_sign = reinterpret_cast<Lanes>((b < c) == (a < c));
  const Lanes pc = distance(pa, pb) | same_sign;
  const auto is_a = reinterpret_cast<Lanes>((pa <= pb) & (pa <= pc));
  return where(is_a, a, where(reinterpret_cast<Lanes>(pb <= pc), b, c));
}

/// lanes[i][k] becomes lanes[k][i]. Four times, the first half is interleaved with the second.
void transpose(std::array<Lanes, kLanes>& lanes) {
  for (int round = 0; round < 4; ++round) {
    const std::array<Lanes, kLanes> from = lanes;
    for (size_t i = 0; i < kLanes / 2; ++i) {
      const Lanes x = from[i], y = from[i + kLanes / 2];
      lanes[2 * i] = __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      lanes[2 * i + 1] =
          __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  }
}

/// Up to sixteen rows of any filters. Lane k is `pixel` bytes behind lane k - 1: at step t it has byte t - k * pixel.
class Wavefront {
 public:
  explicit Wavefront(const PngRows& shape)
      : shape_(shape),
        steps_((shape.stride + (kLanes - 1) * shape.pixel + kLanes - 1) / kLanes * kLanes),
        margin_(kLanes * shape.pixel + kLanes),
        rows_(static_cast<size_t>(kLanes * pitch())),
        bytes_(static_cast<size_t>((2 * shape.pixel + steps_) * kPitch)) {}

  /// `above`: the row before the first; null: zeros, as the specification has it.
  void decode(const uint8_t* rows, int64_t count, const uint8_t* above, uint8_t* y) {
    std::fill(rows_.begin(), rows_.end(), uint8_t{0});  // left of the first column all is zero
    std::fill(bytes_.begin(), bytes_.end(), uint8_t{0});
    if (above != nullptr) {
      for (int64_t x = 0; x < shape_.stride; ++x) at(x - shape_.pixel)[0] = above[x];
    }
    std::array<Lanes, kFilters> has{};
    const auto size = static_cast<size_t>(shape_.stride);
    for (int64_t k = 0; k < count; ++k) {
      const uint8_t* row = rows + k * (shape_.stride + 1);
      has[row[0]][k] = 0xFF;
      std::memcpy(lane(k), row + 1, size);
    }
    std::array<Lanes, kLanes> block;
    for (int64_t t = 0; t < steps_; t += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k)
        block[static_cast<size_t>(k)] = load(lane(k) + t - k * shape_.pixel);
      transpose(block);
      for (int64_t i = 0; i < kLanes; ++i) store(block[static_cast<size_t>(i)], at(t + i) + 1);
    }
    add_predictions(has);
    for (int64_t t = 0; t < steps_; t += kLanes) {
      for (int64_t i = 0; i < kLanes; ++i) block[static_cast<size_t>(i)] = load(at(t + i) + 1);
      transpose(block);
      for (int64_t k = 0; k < kLanes; ++k)
        store(block[static_cast<size_t>(k)], lane(k) + t - k * shape_.pixel);
    }
    for (int64_t k = 0; k < count; ++k) std::memcpy(y + k * shape_.stride, lane(k), size);
  }

 private:
  int64_t pitch() const { return 2 * margin_ + steps_; }
  uint8_t* lane(int64_t k) { return rows_.data() + k * pitch() + margin_; }
  uint8_t* at(int64_t step) { return bytes_.data() + (step + 2 * shape_.pixel) * kPitch; }

  static Lanes predict(const std::array<Lanes, kFilters>& has, Lanes a, Lanes b, Lanes c) {
    const Lanes average = (a & b) + ((a ^ b) >> 1);
    return (has[kSub] & a) | (has[kUp] & b) | (has[kAverage] & average) | (has[kPaeth] & paeth(a, b, c));
  }

  void add_predictions(const std::array<Lanes, kFilters>& has) {
    uint8_t* lanes = at(0) + 1;
    if (shape_.pixel ==
        1) {  // all from the step before: through registers, which memory would take twice as long
      Lanes a{}, b{};
      for (int64_t t = 0; t < steps_; ++t, lanes += kPitch) {
        const Lanes c = b;
        b = __builtin_shufflevector(a, a, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
        b[0] = lanes[-kPitch - 1];
        a = load(lanes) + predict(has, a, b, c);
        store(a, lanes);
      }
      return;
    }
    const int64_t back = shape_.pixel * kPitch;
    for (int64_t t = 0; t < steps_; ++t, lanes += kPitch) {
      const Lanes a = load(lanes - back), b = load(lanes - back - 1), c = load(lanes - 2 * back - 1);
      store(load(lanes) + predict(has, a, b, c), lanes);
    }
  }

  PngRows shape_;
  int64_t steps_;               // whole blocks of sixteen
  int64_t margin_;              // around each row, for blocks that reach beyond it
  std::vector<uint8_t> rows_;   // [kLanes, margin + steps + margin]
  std::vector<uint8_t> bytes_;  // [2 * pixel + steps, kPitch]
};

void add_above(const uint8_t* row, const uint8_t* above, int64_t stride, uint8_t* y) {
  for (int64_t x = 0; x < stride; ++x) y[x] = static_cast<uint8_t>(row[x] + above[x]);
}

}  // namespace

bool unfilter_png(const uint8_t* rows, const PngRows& shape, uint8_t* y) {
  const auto filter = [&](int64_t row) { return rows[row * (shape.stride + 1)]; };
  for (int64_t row = 0; row < shape.height; ++row) {
    if (filter(row) >= kFilters) return false;
  }
  Wavefront wavefront(shape);
  for (int64_t first = 0; first < shape.height; first += kLanes) {
    const int64_t count = std::min(kLanes, shape.height - first);
    bool is_simple = true;  // none waits for its own row
    for (int64_t k = 0; k < count; ++k)
      is_simple = is_simple && (filter(first + k) == kNone || filter(first + k) == kUp);
    if (!is_simple) {
      wavefront.decode(rows + first * (shape.stride + 1), count,
                       first > 0 ? y + (first - 1) * shape.stride : nullptr, y + first * shape.stride);
      continue;
    }
    for (int64_t row = first; row < first + count; ++row) {
      const uint8_t* from = rows + row * (shape.stride + 1) + 1;
      uint8_t* to = y + row * shape.stride;
      if (filter(row) == kUp && row > 0) {
        add_above(from, to - shape.stride, shape.stride, to);
      } else {
        std::memcpy(to, from, static_cast<size_t>(shape.stride));
      }
    }
  }
  return true;
}

}  // namespace cytograd
