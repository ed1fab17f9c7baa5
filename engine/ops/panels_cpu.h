// The inner loops of the CPU's convolutions: matrix products, f32, whose right factor lies in panels of 16 columns, so
// that a tile of results stays in registers while its sums run. They start no threads: callers divide the work.
#pragma once

#include <array>
#include <cstdint>

#include "engine/arch/lanes.h"
#include "engine/tensor.h"

namespace cytograd::panels {

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
/// Divides count into the fewest near-equal parts, multiples of `unit`, of about `most` each: the size of a part.
constexpr int64_t even_part(int64_t count, int64_t most, int64_t unit) {
  return divide_up(divide_up(count, divide_up(count, most)), unit) * unit;
}

/// Windows [O, KH, KW, I] map I channels to O, or O to I.
enum class Direction : uint8_t { forward, backward };

constexpr int64_t kRows = 6;  ///< of a tile: 12 registers of sums, 2 of a panel, 1 or 2 of rows, of AVX2's 16
constexpr int64_t kColumns = 2 * kLanes;
/// Exchanges rows and columns of 8 x 8 floats.
std::array<Lanes, kLanes> transposed(const std::array<Lanes, kLanes>& rows);

/// One panel [depth, 16] of B; element (k, j) is b[k * k_stride + j].
void pack_panel(const float* b, int64_t k_stride, int64_t depth, float* panel);
/// The same of B's transpose; element (k, j) is b[j * j_stride + k]. depth is a multiple of 8.
void pack_transposed_panel(const float* b, int64_t j_stride, int64_t depth, float* panel);

/// c[i][j] (+)= sum over segments s and k < depth of a(i, s)[k] B(s)[k][j], where a and c are rows anywhere in memory.
struct GatheredProduct {
  int64_t rows = 0;
  int64_t columns = 0;  ///< a multiple of 16
  int64_t segments = 1;
  int64_t depth = 0;
  const float* const* a = nullptr;  ///< rows' addresses [rows / 6 rounded up, segments, 6]
  int64_t a_offset = 0;             ///< floats from those addresses
  const float* panels = nullptr;    ///< [columns / 16, segments, depth, 16]
  float* const* c = nullptr;        ///< [rows]
  int64_t c_offset = 0;
  bool accumulate = false;
};
void multiply(const GatheredProduct& product);

/// c[i][j] = sum over k < depth of a[i][k] B[k][j].
struct RowProduct {
  int64_t rows = 0;
  int64_t columns = 0;  ///< a multiple of 16
  int64_t depth = 0;
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* panels = nullptr;  ///< [columns / 16, depth, 16]
  float* c = nullptr;
  int64_t c_stride = 0;
};
void multiply(const RowProduct& product);

/// Brings `count` floats into the caches; of null nothing.
void prefetch(const float* row, int64_t count);

/// Floats from strip to strip, and from panel to panel, as they are packed: a line more than they hold, so that a row's
/// parts do not all fall into one set of the L1 cache.
constexpr int64_t strip_stride(int64_t depth) { return depth * kRows + 16; }
constexpr int64_t panel_stride(int64_t depth) { return depth * kColumns + 16; }
/// Rows [depth] of `count` floats each to strips [count / 6 rounded up, depth, 6], zeros past the end.
void pack_strips(const float* const* rows, int64_t depth, int64_t count, float* strips);
/// Rows, null for zeros, to panels [count / 16, depth, 16].
void pack_panels(const float* const* rows, int64_t depth, int64_t count, float* panels);

/// c[i][j] (+)= sum over k < depth of a[k][i] b[k][j], where a lies in strips of 6 columns and b in panels of 16: their
/// own, or those of matrices that stay in the L1 cache.
struct TransposedProduct {
  int64_t rows = 0;     ///< of c: columns of a
  int64_t columns = 0;  ///< a multiple of 16
  int64_t depth = 0;
  const float* a = nullptr;
  int64_t a_strip = 0;  ///< floats from a strip of 6 columns to the next, and from row to row in one
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_panel = 0;
  int64_t b_stride = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};
void multiply(const TransposedProduct& product);

/// How c [rows, columns] = sum over many terms is divided among threads: into blocks of rows and columns, and where
/// these are few, into parts of the terms, each with a c of its own. It follows from the sizes alone, so that no sum
/// depends on the number of threads.
struct SumTasks {
  struct Sizes {
    int64_t rows, columns, terms;
    int64_t row_block, column_block;  ///< at most, about
    int64_t row_unit;                 ///< rows of a block are a multiple of it, columns of kColumns
    int64_t term_unit;                ///< terms that are taken together
    int64_t c_floats;                 ///< of one c
  };
  explicit SumTasks(const Sizes& sizes);

  struct Task {
    int64_t row, rows, column, columns;
    int64_t part, begin, end;  ///< terms [begin, end)
  };
  int64_t count() const { return parts * row_blocks * column_blocks; }
  Task operator[](int64_t i) const;

  Sizes sizes;
  int64_t row_block, column_block;
  int64_t row_blocks, column_blocks;
  int64_t part, parts;  ///< terms of a part, and how many there are
};

/// The sum of f32 [parts, N] over the parts, in their order, by all threads: [N].
Tensor sum_of_parts(const Tensor& parts);

}  // namespace cytograd::panels
