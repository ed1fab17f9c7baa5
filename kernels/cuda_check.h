// Errors of the CUDA runtime as exceptions. For what is compiled against the CUDA toolkit.
#pragma once

#include <cuda_runtime_api.h>

namespace cytograd::device {

/// Throws std::runtime_error with CUDA's name and words for `status`, what was tried, and where, unless it is success.
void check(cudaError_t status, const char* what, const char* file, int line);

}  // namespace cytograd::device

#define CUDA_CHECK(expression) ::cytograd::device::check((expression), #expression, __FILE__, __LINE__)
