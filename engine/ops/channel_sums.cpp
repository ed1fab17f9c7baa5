#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {

void channel_sums(const Tensor& x, Tensor& sums) {
  CHECK(x.rank() >= 1 && x.dtype() == DType::u8, "x {} {}", dtype_name(x.dtype()), x.shape());
  const int64_t channels = x.dim(x.rank() - 1);
  CHECK(channels >= 1 && channels <= PreprocessOptions::kMaxChannels, "x {}", x.shape());
  CHECK(sums.shape() == Shape({channels + 1, channels}) && sums.dtype() == DType::i64 &&
            sums.device() == x.device(),
        "x {} on {}, sums {} {} on {}", x.shape(), device_name(x.device()), dtype_name(sums.dtype()),
        sums.shape(), device_name(sums.device()));
  backend(x.device()).channel_sums(x, sums);
}

}  // namespace cytograd
