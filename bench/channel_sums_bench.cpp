// Exact sums of channels and of their products: each byte is read once.
#include "bench/channel_sums_problem.h"
#include "engine/ops.h"

namespace cytograd::bench {
namespace {

Work work(const ChannelSumsProblem& p) {
  const Tensor x = random_bytes({p.pixels, p.channels}, p.device);
  Tensor sums = Tensor::zeros({p.channels + 1, p.channels}, DType::i64, p.device);
  return {.run = [x, sums]() mutable { channel_sums(x, sums); }, .bytes = p.pixels * p.channels};
}

void add(std::vector<Row>& rows) {
  for (const Device device : devices()) {
    for (const ChannelSumsProblem& p : channel_sums_problems(device))
      rows.push_back(channel_sums_row(p, "production", [p] { return work(p); }));
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
