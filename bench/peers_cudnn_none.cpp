#include "bench/peers_cudnn.h"

namespace cytograd::bench {

Call cudnn_add(const Shape&, DType) { return nullptr; }
Passes cudnn_relu(const Shape&, DType) { return {}; }
Call cudnn_softmax(const Shape&, DType) { return nullptr; }
Passes cudnn_batchnorm_act(const Shape&, DType, bool) { return {}; }
Passes cudnn_max_pool2d(const Shape&, DType, const MaxPool2dOptions&) { return {}; }
Passes cudnn_global_avg_pool(const Shape&, DType) { return {}; }

}  // namespace cytograd::bench
