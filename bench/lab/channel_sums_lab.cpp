// Variants of channel_sums, checked against the sums of the CPU, which they must equal; and cuBLAS.
#include "bench/channel_sums_problem.h"
#include "bench/lab/lab.h"
#include "kernels/channel_sums.h"
#include "tests/support/channel_sums.h"

namespace cytograd::bench {
namespace {

using Chosen = Variant<ChannelSumsArguments>;

std::string flaw(const Chosen& variant) {
  constexpr float kBefore = 0x1p30f;  // what the sums are added to
  for (int64_t channels = 1; channels <= kMaxSummedChannels; ++channels) {
    for (const int64_t pixels : test::kPixelCounts) {
      const Tensor x = test::random_bytes({pixels, channels}, static_cast<uint64_t>(pixels));
      const Tensor on_device = x.to(Device::cuda);
      std::vector<Tensor> results;
      std::string found = unsteadiness(
          [&]() -> std::vector<Tensor> {
            Tensor sums = Tensor::full({channels + 1, channels}, kBefore, DType::i64, Device::cuda);
            cuda().channel_sums_by(variant.launch, on_device, sums);
            return {sums};
          },
          results);
      std::vector<int64_t> expected = test::plain_channel_sums(x);
      for (int64_t& sum : expected) sum += static_cast<int64_t>(kBefore);
      if (found.empty() && results[0].to_vector<int64_t>() != expected) found = "other sums than the CPU's";
      if (!found.empty()) return fmt::format("{} pixels of {} channels: {}", pixels, channels, found);
    }
  }
  return "";
}

Work work(const ChannelSumsProblem& p, const Chosen& variant) {
  const Tensor x = random_bytes({p.pixels, p.channels}, p.device);
  Tensor sums = Tensor::zeros({p.channels + 1, p.channels}, DType::i64, p.device);
  return {.run = [=]() mutable { cuda().channel_sums_by(variant.launch, x, sums); },
          .bytes = p.pixels * p.channels,
          .library = "cuBLAS",
          .run_library = [=]() mutable { cuda().channel_sums_by(ChannelSumsMethod::gemm, x, sums); },
          .flaw = [=]() -> std::string {
            Tensor actual = Tensor::zeros(sums.shape(), DType::i64, p.device);
            Tensor expected = Tensor::zeros(sums.shape(), DType::i64, p.device);
            cuda().channel_sums_by(variant.launch, x, actual);
            cuda().channel_sums_by(launch_channel_sums, x, expected);
            return actual.to_vector<int64_t>() == expected.to_vector<int64_t>()
                       ? ""
                       : "other sums than production's";
          }};
}

void add(std::vector<Row>& rows) {
  if (!why_no_cuda().empty()) return;
  std::vector<Chosen> all = variants<ChannelSumsArguments>();
  all.push_back({"kernel", "production, beside cuBLAS", launch_channel_sums});
  for (const Chosen& variant : all) {
    for (const ChannelSumsProblem& p : channel_sums_problems(Device::cuda)) {
      rows.push_back(channel_sums_row(p, variant.name, [p, variant] { return work(p, variant); }));
      rows.back().flaw = [variant] { return flaw(variant); };
    }
  }
}

const RowSource source(add);

}  // namespace
}  // namespace cytograd::bench
