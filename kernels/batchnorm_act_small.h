// Batch norm of few rows, as a network's last stages have them when images are small: one kernel where batchnorm_act.h
// otherwise takes three. What is computed is what is said there.
#pragma once

#include "kernels/batchnorm_act.h"

namespace cytograd {

/// Up to 2,048 rows in f32, 4,096 in 16 bits; on GPUs with less shared memory fewer.
bool batchnorm_act_is_small(int64_t rows, ElementType type);

/// Where batchnorm_act_is_small. Workspaces and `splits` are not used.
void launch_batchnorm_act_small_train(const BatchnormActTrainArguments& arguments, device::Stream stream);
void launch_batchnorm_act_small_backward(const BatchnormActBackwardArguments& arguments,
                                         device::Stream stream);

}  // namespace cytograd
