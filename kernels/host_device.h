// Marks functions that host and device share.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define CYTOGRAD_HOST_DEVICE __host__ __device__
#else
#define CYTOGRAD_HOST_DEVICE
#endif
