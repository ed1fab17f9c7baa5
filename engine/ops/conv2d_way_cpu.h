// Which of the CPU's ways to convolve is the fastest; see the measurements in the source.
#pragma once

#include <cstdint>

#include "engine/cpu_info.h"
#include "engine/dtype.h"
#include "engine/op_options.h"

namespace cytograd {

enum class Conv2dPass : uint8_t { forward, backward_input, backward_weight };

enum class Conv2dWay : uint8_t {
  direct,    ///< oneDNN's direct convolution: serves bf16 too, and all shapes but those it gets wrong
  taps,      ///< conv2d_taps: products over the taps inside the image, for results of few pixels
  winograd,  ///< conv2d_winograd: 3x3 windows
  product    ///< conv2d_product: products of pixels read where they lie
};

struct Conv2dProblem {
  Conv2dPass pass;
  Shape x;  ///< [N, H, W, I]
  Shape w;  ///< [O, KH, KW, I]
  Conv2dOptions options;
  DType dtype = DType::f32;  ///< of activations; bf16 where the processor computes it: other ways widen it
  /// oneDNN, and the matrix products of `taps`, use AVX-512. Our own loops are written for 256 bits, and are taken only
  /// where the processor multiplies no more at once.
  CpuVectors vectors = CpuVectors::bits_256;
};
Conv2dWay conv2d_way(const Conv2dProblem& problem);

}  // namespace cytograd
