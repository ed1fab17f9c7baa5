#include "engine/ops/conv2d_way_cpu.h"

#include <algorithm>

#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/conv2d_winograd_cpu.h"

namespace cytograd {
namespace {

struct Result {
  explicit Result(const Conv2dProblem& p)
      : height(p.options.output_extent(p.x[1], p.w[1])), width(p.options.output_extent(p.x[2], p.w[2])) {}
  int64_t height, width;
};

// Against oneDNN's direct convolution (2.6.3, one core of a Sapphire Rapids, f32, 3x3, speed-up of forward,
// backward_input, backward_weight): 2x2 x512 batch 64: 5.0 2.4 4.9, batch 8: 2.2 2.1 3.2; 4x4 -> 2x2 256 ->
// 512 batch 64: 3.8 2.3 3.8; 4x4 x256 batch 64: 1.3 0.93 1.4; 8x8 -> 4x4 128 -> 256 batch 64: 1.2 1.2 1.6,
// batch 16: 0.9 1.2 1.3; 8x8 x128 batch 64: 0.9 1.0 0.9.
bool prefers_taps(const Conv2dProblem& p) {
  const Result y(p);
  const int64_t pixels = y.height * y.width, batch = p.x[0];
  if (std::min(p.w[0], p.w[3]) < 64) return false;
  if (pixels <= 4) return batch >= 8;
  if (pixels > 16 || batch < 32) return false;
  return p.pass != Conv2dPass::backward_input || p.options.stride > 1;
}

// Two cores of an AMD EPYC with AVX2, f32, caches cold, medians, GFLOP/s of the three passes, counted as the direct
// convolution's: direct; product; winograd; taps.
//   3x3            56x56x64 batch 16    67  97  51; 132 130 110; 196 206 162
//                  14x14x256 batch 16   99 149  86; 148 150 117; 229 234 174
//                  7x7x512 batch 16     91 108  64; 122 121 121; 145 147 127
//                  4x4x512 batch 64     89 110  60; 119 124 116; 187 192 165; 178 125  81
//                  2x2x512 batch 64     62  88  14;  86  87 113;  90  96 128; 218 179 126
//                  32x32x32 batch 64   117 112  62; 121 123  94; 140 148 117
//                  14x14x256 batch 1    72  97  65;  74  69  76;  71  67 107
//                  8x8x128 batch 1      45  46  38;  46  52  35;  39  37  49
//   3x3, stride 2  56x56x128 batch 16   60  92  53; 120 101 110
//                  14x14x512 batch 1    55  51  47;  63  60  89
//                  8x8x128 -> 256, 64   71  83  68; 124 127  58;                142 166  68
//                  4x4x256 -> 512, 64   64  64  43; 102 113 128;                156 183  88
//   1x1            56x56x64 -> 256, 16 116  87  83; 105  98  97
//                  14x14x1024 -> 256   148 139  94; 134 133 114
//                  7x7x512 -> 2048     148 117  93; 123 121 121
//   7x7, stride 2  128x128x6 batch 64            45;          70
//                  64x64x6 batch 64              60;          66
//                  64x64x3 batch 64              81;          59  (21 of 32 columns)
Conv2dWay way_with_256_bits(const Conv2dProblem& p) {
  const Result y(p);
  const bool backward_weight = p.pass == Conv2dPass::backward_weight, strided = p.options.stride > 1;
  const bool tiny = y.height * y.width <= 4;
  if (prefers_taps(p) && (backward_weight ? tiny && !strided : tiny || strided)) return Conv2dWay::taps;
  // A side of one or two pixels leaves most of a tile's patch outside.
  if (conv2d_winograd::possible(p.w, p.options) && std::min(y.height, y.width) >= 3 &&
      p.x[0] * y.height * y.width >= (backward_weight ? 64 : 512))
    return Conv2dWay::winograd;
  if (backward_weight)
    return conv2d_product::weight_efficiency(p.w) >= 0.75 ? Conv2dWay::product : Conv2dWay::direct;
  if (prefers_taps(p)) return Conv2dWay::taps;
  const bool large_window = p.w[1] * p.w[2] > 1;
  return conv2d_product::possible(p.w) && strided && large_window ? Conv2dWay::product : Conv2dWay::direct;
}

}  // namespace

Conv2dWay conv2d_way(const Conv2dProblem& problem) {
  if (!problem.has_avx512) return way_with_256_bits(problem);
  return prefers_taps(problem) ? Conv2dWay::taps : Conv2dWay::direct;
}

}  // namespace cytograd
