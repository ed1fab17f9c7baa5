#include "engine/backend_cuda.h"
#include "kernels/emulated_streams.h"

namespace cytograd {

void CudaBackend::multiply_planes(const Tensor& planes, Tensor& grams) {
  emulator::queue(stream(), [a = static_cast<const int8_t*>(planes.raw()), c = grams.data<int32_t>(),
                             chunks = planes.dim(0), rows = planes.dim(1), width = planes.dim(2)] {
    for (int64_t i = 0; i < chunks * rows; ++i) {
      for (int64_t j = 0; j < rows; ++j) {
        const int8_t* row = a + i * width;
        const int8_t* other = a + (i / rows * rows + j) * width;
        int32_t sum = 0;
        for (int64_t k = 0; k < width; ++k) sum += int32_t{row[k]} * other[k];
        c[i * rows + j] = sum;
      }
    }
  });
}

}  // namespace cytograd
