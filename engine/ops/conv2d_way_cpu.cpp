#include "engine/ops/conv2d_way_cpu.h"

#include <algorithm>

#include "engine/ops/conv2d_product_cpu.h"
#include "engine/ops/conv2d_winograd_cpu.h"

namespace cytograd {
namespace {

Shape result_of(const Conv2dProblem& p) { return p.options.output_shape(p.x, p.w); }

bool is_tiny(const Shape& y) { return y[1] * y[2] <= 4; }

// Against oneDNN's direct convolution (2.6.3, one core of a Sapphire Rapids, f32, 3x3, speed-up of forward,
// backward_input, backward_weight): 2x2 x512 batch 64: 5.0 2.4 4.9, batch 8: 2.2 2.1 3.2; 4x4 -> 2x2 256 ->
// 512 batch 64: 3.8 2.3 3.8; 4x4 x256 batch 64: 1.3 0.93 1.4; 8x8 -> 4x4 128 -> 256 batch 64: 1.2 1.2 1.6,
// batch 16: 0.9 1.2 1.3; 8x8 x128 batch 64: 0.9 1.0 0.9.
bool prefers_taps(const Conv2dProblem& p) {
  const Shape y = result_of(p);
  const int64_t pixels = y[1] * y[2], batch = y[0];
  if (std::min(p.w[0], p.w[3]) < 64) return false;
  if (is_tiny(y)) return batch >= 8;
  if (pixels > 16 || batch < 32) return false;
  return p.pass != Conv2dPass::backward_input || p.options.stride > 1;
}

/// Whether Winograd's transforms serve where sides are at least `side` pixels, for they leave most of a tile's patch
/// outside of smaller ones, and save `times` the multiplications, of enough pixels.
bool prefers_winograd(const Conv2dProblem& p, int64_t side, double times) {
  const Shape y = result_of(p);
  if (!conv2d_winograd::possible(p.w, p.options) || std::min(y[1], y[2]) < side) return false;
  return y[0] * y[1] * y[2] >= (p.pass == Conv2dPass::backward_weight ? 64 : 512) &&
         conv2d_winograd::saving(p.pass == Conv2dPass::backward_input ? p.x : y, y) >= times;
}

// Two cores of an AMD EPYC with AVX2, f32, caches cold, medians, GFLOP/s of the three passes, counted as the direct
// convolution's: direct; product; winograd, by tiles of 2x2 pixels alone; taps.
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
  const bool strided = p.options.stride > 1;
  if (prefers_winograd(p, 3, 1.2)) return Conv2dWay::winograd;
  if (p.pass == Conv2dPass::backward_weight) {
    if (prefers_taps(p) && is_tiny(result_of(p)) && !strided) return Conv2dWay::taps;
    return conv2d_product::weight_efficiency(p.w) >= 0.75 ? Conv2dWay::product : Conv2dWay::direct;
  }
  if (prefers_taps(p)) return Conv2dWay::taps;
  const bool large_window = p.w[1] * p.w[2] > 1;
  return conv2d_product::possible(p.w) && strided && large_window ? Conv2dWay::product : Conv2dWay::direct;
}

// Two cores of an AMD EPYC with Zen 4, as above, but oneDNN has AVX-512: direct; product; winograd; taps.
//   3x3            56x56x64 batch 16   223 197 171; 174 169 158; 451 450 404
//                  14x14x256 batch 16  236 209 220; 204 198 162; 412 403 335
//                  7x7x512 batch 16    198 248 211; 171 162 190; 317 322 283
//                  7x7x64 batch 64     252 236 161; 174 173 136; 301 310 170
//                  5x5x256 batch 64    248 254 212; 174 176 136; 245 244 192
//                  3x3x256 batch 64    248 293 157; 209 203 105; 216 193 206; 292 347 354
//                  4x4x512 batch 64    223 277 184; 157 175 169; 369 402 375; 225 289 235
//                  4x4x512 batch 16    179 228 183; 139 137 174; 220 218 257; 134 226 179
//                  2x2x512 batch 64    115 156 101; 125 124 172; 185 195 228; 323 395 318
//                  16x16x64 batch 64   225 229 204; 181 180 164; 385 391 320
//                  14x14x256 batch 1   172 182 173; 128 122 107; 151 155 258
//   3x3, stride 2  56x56x128 batch 16  206 190 155; 176 157 156
//                  14x14x512 batch 16  167 218 132; 172 159 180
//                  8x8x256 -> 512, 64  204 206 109; 160 187 159;              197 244 202
//                  4x4x256 -> 512, 64  132 134  65; 116 109 158;              214 254 251
//   1x1            56x56x64 -> 256, 16 163 181 138; 104 133 140
//                  14x14x1024 -> 256   216 214 193; 201 180 169
//                  7x7x512 -> 2048     176 194 175; 150 155 144
//   7x7, stride 2  64x64x6 batch 64            187;         122
bool prefers_winograd_double_pumped(const Conv2dProblem& p) { return prefers_winograd(p, 4, 1.7); }

// In bf16, taps with what it takes to widen operands and round results; direct; taps.
//   3x3            2x2x512 batch 8      51  95  53; 147  86 136
//                  2x2x512 batch 16    115 128  70; 155 149 228
//                  2x2x512 batch 64    217 310  72; 275 324 330
//                  2x2x512 batch 256   396 517 190; 404 432 470
//                  2x2x256 batch 64    270 331 110; 324 326 346
//                  2x2x128 batch 64    309 268 107; 247 276 361
//                  4x4x512 batch 64    468 497 256; 212 262 254
//   1x1            2x2x512 -> 2048, 64 282 221 126; 149 185 184
//   3x3, stride 2  4x4x256 -> 512, 16   90  83  52;  70  89 114
//                  4x4x256 -> 512, 64  169 205  65; 169 189 190
//                  8x8x128 -> 256, 64  370 292 158; 185 219 162
//   1x1, stride 2  4x4x256 -> 512, 64  132 157  66;  92  82  93
// Winograd's transforms by tiles of 2x2 have 374 384 288 of 14x14x256, batch 16; direct convolution 441 427 428.
Conv2dWay way_of_bf16(const Conv2dProblem& p) {
  const Shape y = result_of(p);
  const bool large_window = p.w[1] * p.w[2] > 1, strided = p.options.stride > 1;
  const bool is_faster =
      p.pass == Conv2dPass::backward_weight ||
      (large_window && !strided && std::min(p.w[0], p.w[3]) >= 256 && y[0] * y[1] * y[2] <= 256);
  return is_tiny(y) && is_faster && prefers_taps(p) ? Conv2dWay::taps : Conv2dWay::direct;
}

}  // namespace

Conv2dWay conv2d_way(const Conv2dProblem& problem) {
  if (problem.dtype == DType::bf16)
    return problem.vectors == CpuVectors::double_pumped ? way_of_bf16(problem) : Conv2dWay::direct;
  if (problem.vectors == CpuVectors::bits_256) return way_with_256_bits(problem);
  if (problem.vectors == CpuVectors::double_pumped && prefers_winograd_double_pumped(problem))
    return Conv2dWay::winograd;
  return prefers_taps(problem) ? Conv2dWay::taps : Conv2dWay::direct;
}

}  // namespace cytograd
