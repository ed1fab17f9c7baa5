#include "engine/backend_cuda.h"
#include "kernels/dropout.h"

namespace cytograd {

Tensor CudaBackend::dropout(const Tensor& x, const DropoutOptions& options) {
  const device::Range range("dropout");
  Tensor y = empty(x.shape(), x.dtype());
  if (options.probability == 0.0f) {
    copy(y, x);
    return y;
  }
  launch_dropout({.x = x.raw(),
                  .y = y.raw(),
                  .count = x.elements(),
                  .type = element_type(x.dtype()),
                  .probability = options.probability,
                  .seed = options.seed,
                  .offset = options.offset,
                  .step = options.step.defined() ? options.step.data<int64_t>() : nullptr},
                 stream());
  return y;
}

}  // namespace cytograd
