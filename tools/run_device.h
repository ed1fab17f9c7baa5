// Where a run computes and in which precision.
#pragma once

#include <string>

#include "engine/tensor.h"

namespace cytograd {

/// "auto", "cpu" or "cuda"; auto takes a GPU where there is one. Throws Error where cuda is asked for and absent.
Device resolve_device(const std::string& name);

/// "auto", "f32", "bf16" or "f16". auto: bf16 on a GPU and where the CPU computes it in hardware, else f32. Throws
/// Error for f16 on a CPU; bf16 without hardware is computed in f32 and rounded, which is no faster than f32.
DType resolve_dtype(const std::string& name, Device device);

}  // namespace cytograd
