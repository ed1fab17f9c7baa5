// Sums of a matrix's columns.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "kernels/runtime.h"

namespace cytograd {

struct ColumnSumArguments {
  const void* x = nullptr;     ///< [rows, columns]
  float* sums = nullptr;       ///< [columns]
  float* workspace = nullptr;  ///< [column_sum_workspace(rows, columns, splits)]
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t splits = 0;                   ///< parts of the rows that are summed apart; 0: as fills the device
  ElementType type = ElementType::f32;  ///< of x
};

/// sums[c] = sum of x[r, c] over r, in f32 and always in one order.
void launch_column_sum(const ColumnSumArguments& arguments, device::Stream stream);

/// f32 elements; `splits` as in the arguments.
int64_t column_sum_workspace(int64_t rows, int64_t columns, int64_t splits = 0);

}  // namespace cytograd
