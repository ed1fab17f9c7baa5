#include "engine/backend_cuda.h"
#include "kernels/column_sum.h"

namespace cytograd {

Tensor CudaBackend::linear_backward_bias(const Tensor& dy) {
  const device::Range range("linear_backward_bias");
  Tensor db = empty({dy.dim(1)});
  Tensor workspace = empty({column_sum_workspace(dy.dim(0), dy.dim(1))});
  launch_column_sum({.x = dy.raw(),
                     .sums = db.data<float>(),
                     .workspace = workspace.data<float>(),
                     .rows = dy.dim(0),
                     .columns = dy.dim(1),
                     .type = element_type(dy.dtype())},
                    stream());
  return db;
}

}  // namespace cytograd
