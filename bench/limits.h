// What the machine can do at most, measured: the limits that kernels and training steps are held against.
#pragma once

#include "engine/tensor.h"

namespace cytograd::bench {

/// Not its emulator.
bool is_gpu(Device device);

/// FLOP/s of the product of two large square matrices of `dtype`, best of several, by the device's library: on a CPU
/// [2048 x 2048] x [2048 x 2048], on a GPU [8192 x 8192] x [8192 x 8192], which it takes to fill one. Throws Error for
/// a type that the device does not compute in.
double matmul_rate(Device device, DType dtype);

/// Bytes read + written a second by a copy between buffers several times larger than the last-level cache, best of
/// several; on a CPU by all threads.
double copy_rate(Device device);

}  // namespace cytograd::bench
