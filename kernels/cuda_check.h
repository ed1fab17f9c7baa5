// Errors of the CUDA runtime as exceptions, and what a launch asks of it. For what is compiled against the CUDA
// toolkit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace cytograd::device {

/// Throws std::runtime_error with CUDA's name and words for `status`, what was tried, and where, unless it is success.
void check(cudaError_t status, const char* what, const char* file, int line);

/// Lets a kernel have so much dynamic shared memory, or as much as was asked for before: what is captured may need
/// that. Beyond 48 KiB a kernel has it only when asked for; what caches then have is what blocks leave.
void allow_shared(const void* kernel, size_t bytes, const char* name);

}  // namespace cytograd::device

#define CUDA_CHECK(expression) ::cytograd::device::check((expression), #expression, __FILE__, __LINE__)
