#include "bench/lab/difference.h"
#include "kernels/device.cuh"

namespace cytograd::bench {
namespace {

constexpr int kBlock = 256;

template <typename T>
__global__ void __launch_bounds__(kBlock)
    difference_kernel(const T* a, const T* b, int64_t count, float* apart, float* greatest) {
  float most_apart = 0.0f, most = 0.0f;
  for (int64_t i = global_thread(); i < count; i += grid_threads()) {
    const float x = static_cast<float>(a[i]), y = static_cast<float>(b[i]);
    const float distance = fabsf(x - y);
    if (!(distance <= most_apart)) most_apart = distance == distance ? distance : HUGE_VALF;
    most = fmaxf(most, fabsf(y));
  }
  apart[global_thread()] = most_apart;
  greatest[global_thread()] = most;
}

}  // namespace

void launch_difference(const DifferenceArguments& arguments, device::Stream stream) {
  dispatch_element(arguments.type, [&]<typename T>(ElementTag<T>) {
    constexpr int64_t kPerThread = 64;
    const unsigned blocks = blocks_for(arguments.count, kPerThread, kBlock);
    launch("difference", difference_kernel<T>,
           {.grid = {blocks < kDifferenceThreads / kBlock ? blocks : unsigned{kDifferenceThreads / kBlock}},
            .block = {kBlock},
            .stream = stream},
           static_cast<const T*>(arguments.a), static_cast<const T*>(arguments.b), arguments.count,
           arguments.apart, arguments.greatest);
  });
}

}  // namespace cytograd::bench
