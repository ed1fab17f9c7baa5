// Which of the CPU's ways to convolve in f32 is the fastest; see the measurements in the source.
#pragma once

#include <cstdint>

#include "engine/op_options.h"

namespace cytograd {

enum class Conv2dPass : uint8_t { forward, backward_input, backward_weight };

enum class Conv2dWay : uint8_t {
  direct,    ///< oneDNN's direct convolution: serves every shape
  taps,      ///< conv2d_taps: products over the taps inside the image, for results of few pixels
  winograd,  ///< conv2d_winograd: 3x3 windows
  product    ///< conv2d_product: products of pixels read where they lie
};

struct Conv2dProblem {
  Conv2dPass pass;
  Shape x;  ///< [N, H, W, I]
  Shape w;  ///< [O, KH, KW, I]
  Conv2dOptions options;
  /// oneDNN, and the matrix products of `taps`, then use vectors of 512 bits. Our own loops are written for 256: they were
  /// measured where those are the widest, and are taken only there.
  bool has_avx512 = false;
};
Conv2dWay conv2d_way(const Conv2dProblem& problem);

}  // namespace cytograd
