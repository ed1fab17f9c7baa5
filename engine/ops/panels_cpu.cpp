#include "engine/ops/panels_cpu.h"

#include <algorithm>
#include <cstring>

#include "engine/parallel.h"

namespace cytograd::panels {
namespace {

/// Sums of a tile of kCount rows and 16 columns, in registers.
template <int kCount>
struct Tile {
  std::array<Lanes, kCount> left, right;

  template <typename Row>  // row(i): address of row i's 16 results
  void begin(bool accumulate, const Row& row) {
    if (accumulate) {
      unrolled<kCount>([&](int i) {
        left[i] = load(row(i));
        right[i] = load(row(i) + kLanes);
      });
    } else {
      unrolled<kCount>([&](int i) { left[i] = right[i] = Lanes{}; });
    }
  }
  template <typename Factor>  // factor(i): of row i
  void add_products(const float* panel_row, const Factor& factor) {
    const Lanes b0 = load(panel_row), b1 = load(panel_row + kLanes);
    unrolled<kCount>([&](int i) {
      const float a = factor(i);
      left[i] += a * b0;
      right[i] += a * b1;
    });
  }
  template <typename Row>
  void put(const Row& row) const {
    unrolled<kCount>([&](int i) {
      store(row(i), left[i]);
      store(row(i) + kLanes, right[i]);
    });
  }
};

template <int kCount>
void gathered_tile(const GatheredProduct& p, int64_t slice, int64_t panel) {
  const float* const* a = p.a + slice * p.segments * kRows;
  const float* b = p.panels + panel * p.segments * p.depth * kColumns;
  const auto row = [&](int i) { return p.c[slice * kRows + i] + p.c_offset + panel * kColumns; };
  Tile<kCount> tile;
  tile.begin(p.accumulate, row);
  for (int64_t s = 0; s < p.segments; ++s, a += kRows) {
    std::array<const float*, kCount> from;
    unrolled<kCount>([&](int i) { from[i] = a[i] + p.a_offset; });
    for (int64_t k = 0; k < p.depth; ++k, b += kColumns)
      tile.add_products(b, [&](int i) { return from[i][k]; });
  }
  tile.put(row);
}

template <int kCount>
void row_tile(const RowProduct& p, int64_t slice, int64_t panel) {
  const float* a = p.a + slice * kRows * p.a_stride;
  const float* b = p.panels + panel * p.depth * kColumns;
  const auto row = [&](int i) { return p.c + (slice * kRows + i) * p.c_stride + panel * kColumns; };
  Tile<kCount> tile;
  tile.begin(false, row);
  for (int64_t k = 0; k < p.depth; ++k, ++a, b += kColumns)
    tile.add_products(b, [&](int i) { return a[i * p.a_stride]; });
  tile.put(row);
}

template <int kCount>
void transposed_tile(const TransposedProduct& p, int64_t slice, int64_t panel) {
  const float* a = p.a + slice * p.a_strip;
  const float* b = p.b + panel * p.b_panel;
  const auto row = [&](int i) { return p.c + (slice * kRows + i) * p.c_stride + panel * kColumns; };
  Tile<kCount> tile;
  tile.begin(p.accumulate, row);
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_stride, b += p.b_stride)
    tile.add_products(b, [&](int i) { return a[i]; });
  tile.put(row);
}

/// f.operator()<count>() for a count from 1 to 6.
template <typename F>
void with_count(int64_t count, const F& f) {
  switch (count) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    case 5:
      return f.template operator()<5>();
    default:
      return f.template operator()<6>();
  }
}

/// A panel stays in L1 while the rows pass by, which come from L2 from the second panel on.
template <typename F>
void for_each_tile(int64_t rows, int64_t columns, const F& f) {
  for (int64_t panel = 0; panel < columns / kColumns; ++panel) {
    int64_t slice = 0;
    for (; (slice + 1) * kRows <= rows; ++slice) f.template operator()<kRows>(slice, panel);
    if (slice * kRows < rows)
      with_count(rows - slice * kRows, [&]<int kCount>() { f.template operator()<kCount>(slice, panel); });
  }
}

constexpr int64_t kRowsAhead =
    8;  // that are asked for while rows are packed: the processor does not foresee them

}  // namespace

std::array<Lanes, kLanes> transposed(const std::array<Lanes, kLanes>& rows) {
  std::array<Lanes, kLanes> pairs, quads, result;
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      quads[i + j] = __builtin_shufflevector(pairs[i + j], pairs[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
      quads[i + 2 + j] = __builtin_shufflevector(pairs[i + j], pairs[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    result[i] = __builtin_shufflevector(quads[i], quads[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    result[i + 4] = __builtin_shufflevector(quads[i], quads[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  return result;
}

void pack_panel(const float* b, int64_t k_stride, int64_t depth, float* panel) {
  for (int64_t k = 0; k < depth; ++k)
    std::memcpy(panel + k * kColumns, b + k * k_stride, kColumns * sizeof(float));
}

void pack_transposed_panel(const float* b, int64_t j_stride, int64_t depth, float* panel) {
  for (int64_t k = 0; k < depth; k += kLanes) {
    for (int64_t half = 0; half < kColumns; half += kLanes) {
      std::array<Lanes, kLanes> block;
      for (int64_t j = 0; j < kLanes; ++j) block[j] = load(b + (half + j) * j_stride + k);
      block = transposed(block);
      for (int64_t i = 0; i < kLanes; ++i) store(panel + (k + i) * kColumns + half, block[i]);
    }
  }
}

void multiply(const GatheredProduct& p) {
  for_each_tile(p.rows, p.columns,
                [&]<int kCount>(int64_t slice, int64_t panel) { gathered_tile<kCount>(p, slice, panel); });
}

void multiply(const RowProduct& p) {
  for_each_tile(p.rows, p.columns,
                [&]<int kCount>(int64_t slice, int64_t panel) { row_tile<kCount>(p, slice, panel); });
}

void multiply(const TransposedProduct& p) {
  for_each_tile(p.rows, p.columns,
                [&]<int kCount>(int64_t slice, int64_t panel) { transposed_tile<kCount>(p, slice, panel); });
}

void prefetch(const float* row, int64_t count) {
  constexpr int64_t kLine = 16;
  if (row == nullptr) return;
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(row + i);
}

void pack_strips(const float* const* rows, int64_t depth, int64_t count, float* strips) {
  for (int64_t k = 0; k < depth; ++k) {
    if (k + kRowsAhead < depth) prefetch(rows[k + kRowsAhead], count);
    float* to = strips + k * kRows;
    int64_t i = 0;
    for (; i + kRows <= count; i += kRows, to += strip_stride(depth))
      std::memcpy(to, rows[k] + i, kRows * sizeof(float));
    if (i < count) std::fill(std::copy(rows[k] + i, rows[k] + count, to), to + kRows, 0.0f);
  }
}

void pack_panels(const float* const* rows, int64_t depth, int64_t count, float* panels) {
  for (int64_t k = 0; k < depth; ++k) {
    if (k + kRowsAhead < depth) prefetch(rows[k + kRowsAhead], count);
    float* to = panels + k * kColumns;
    for (int64_t j = 0; j < count; j += kColumns, to += panel_stride(depth)) {
      if (rows[k] != nullptr) {
        std::memcpy(to, rows[k] + j, kColumns * sizeof(float));
      } else {
        std::fill_n(to, kColumns, 0.0f);
      }
    }
  }
}

SumTasks::SumTasks(const Sizes& s)
    : sizes(s),
      row_block(even_part(s.rows, s.row_block, s.row_unit)),
      column_block(even_part(s.columns, s.column_block, kColumns)),
      row_blocks(divide_up(s.rows, row_block)),
      column_blocks(divide_up(s.columns, column_block)) {
  constexpr int64_t kTasks = 32;                  // wanted
  constexpr int64_t kFloats = int64_t{16} << 20;  // of all parts
  constexpr int64_t kFewestUnits = 4;             // of a part
  const int64_t wanted =
      std::min(divide_up(kTasks, row_blocks * column_blocks), std::max<int64_t>(kFloats / s.c_floats, 1));
  part = std::max(even_part(s.terms, divide_up(s.terms, wanted), s.term_unit), kFewestUnits * s.term_unit);
  parts = divide_up(s.terms, part);
}

SumTasks::Task SumTasks::operator[](int64_t i) const {
  Task task{};
  task.row = i % row_blocks * row_block;
  task.rows = std::min(row_block, sizes.rows - task.row);
  task.column = i / row_blocks % column_blocks * column_block;
  task.columns = std::min(column_block, sizes.columns - task.column);
  task.part = i / (row_blocks * column_blocks);
  task.begin = task.part * part;
  task.end = std::min(sizes.terms, task.begin + part);
  return task;
}

Tensor sum_of_parts(const Tensor& parts) {
  const int64_t count = parts.dim(0), size = parts.dim(1);
  if (count == 1) return parts.reshape({size});
  Tensor sum = Tensor::empty({size});
  const float* from = parts.data<float>();
  float* to = sum.data<float>();
  parallel_for(size, 1024, [&](int64_t begin, int64_t end) {
    std::copy(from + begin, from + end, to + begin);
    for (int64_t p = 1; p < count; ++p) {
      for (int64_t k = begin; k < end; ++k) to[k] += from[p * size + k];
    }
  });
  return sum;
}

}  // namespace cytograd::panels
