// Raw images to the network's input: reads the crop's raw bytes, for the statistics and again for the result, and
// writes the result once.
#include "bench/cases.h"
#include "bench/preprocess_problem.h"
#include "engine/backend.h"

namespace cytograd::bench {
namespace {

Work work(const PreprocessProblem& p) {
  auto inputs = std::make_shared<PreprocessInputs>(draw(p));
  return {.run =
              [inputs] {
                backend(inputs->images.device())
                    .preprocess(inputs->images, inputs->views, inputs->options, inputs->y);
              },
          .bytes = least_bytes(p, *inputs)};
}

void add(std::vector<Row>& rows) {
  for_each_target([&](Device device, DType dtype) {
    for (const PreprocessProblem& p : preprocess_problems(device, dtype))
      rows.push_back(preprocess_row(p, "production", [p] { return work(p); }));
  });
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
