// Convolutions by cuDNN 9, as plans that are built once a shape and kept. The only place that knows cuDNN.
// https://docs.nvidia.com/deeplearning/cudnn
#pragma once

#include <memory>

#include "engine/cuda_libraries.h"
#include "engine/op_options.h"
#include "kernels/runtime.h"

namespace cytograd {

/// Throws Error naming the convolution where cuDNN has no plan for it.
class CudnnConvolutions {
 public:
  explicit CudnnConvolutions(device::Stream stream);
  ~CudnnConvolutions();
  CudnnConvolutions(const CudnnConvolutions&) = delete;
  CudnnConvolutions& operator=(const CudnnConvolutions&) = delete;

  void set_options(const DeviceOptions& options);
  void set_measuring(bool measuring);  ///< CudaLibraries::set_measuring

  /// The tensors of one convolution, x [N, H, W, I], w [O, KH, KW, I], y [N, H', W', O], of one type. The method's own
  /// result is written, the others are read.
  struct Arguments {
    Tensor x;
    Tensor w;
    Tensor y;
    Conv2dOptions options;
  };
  void forward(const Arguments& arguments);          ///< y
  void backward_input(const Arguments& arguments);   ///< x, from y's gradient
  void backward_weight(const Arguments& arguments);  ///< w, from y's gradient

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cytograd
