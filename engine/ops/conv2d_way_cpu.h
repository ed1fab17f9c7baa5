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

/// x [N, H, W, I], w [O, KH, KW, I]. `has_avx512`: oneDNN and its matrix products then do twice the operations a cycle,
/// our own loops, which are for AVX2, do not.
Conv2dWay conv2d_way(Conv2dPass pass, const Shape& x, const Shape& w, const Conv2dOptions& options,
                     bool has_avx512);

}  // namespace cytograd
