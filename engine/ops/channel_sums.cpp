#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

void channel_sums(const Tensor& x, Tensor& sums) {
  Backend& device = backend_of({&x, &sums});
  CHECK(x.rank() >= 1 && x.dtype() == DType::u8, "x {} {}", dtype_name(x.dtype()), x.shape());
  const int64_t channels = x.dim(x.rank() - 1);
  CHECK(channels >= 1 && channels <= PreprocessOptions::kMaxChannels, "x {}", x.shape());
  CHECK(sums.shape() == Shape({channels + 1, channels}) && sums.dtype() == DType::i64, "x {}, sums {} {}",
        x.shape(), dtype_name(sums.dtype()), sums.shape());
  device.channel_sums(x, sums);
}

}  // namespace cytograd
