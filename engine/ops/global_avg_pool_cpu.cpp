// y = mean of x over an image's pixels. Bound by memory: x is read once forward, dx written once backward.
#include <algorithm>
#include <cstring>

#include "engine/backend_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kChannels = 2048;        // of one image, a task: pixels are read as they lie in memory
constexpr int64_t kDividedChannels = 256;  // where there are too few images for the threads
constexpr int64_t kPixels = 256;           // summed in f32 before they join the f64 sum

/// Means of `count` <= kChannels neighbouring channels.
template <typename T>
void channel_means(const T* x, int64_t pixels, int64_t channels, int64_t count, T* y) {
  double total[kChannels];
  std::fill_n(total, count, 0.0);
  for (int64_t begin = 0; begin < pixels; begin += kPixels) {
    float sum[kChannels];
    std::fill_n(sum, count, 0.0f);
    for (int64_t p = begin; p < std::min(begin + kPixels, pixels); ++p) {
      const T* pixel = x + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) sum[c] += static_cast<float>(pixel[c]);
    }
    for (int64_t c = 0; c < count; ++c) total[c] += double{sum[c]};
  }
  for (int64_t c = 0; c < count; ++c) {
    store_rounded(y[c], static_cast<float>(total[c] / static_cast<double>(pixels)));
  }
}

template <typename T>
void average(const T* x, T* y, const Shape& shape) {
  const int64_t pixels = shape[1] * shape[2];
  const int64_t channels = shape[3];
  const int64_t block = shape[0] < cpu_threads() ? kDividedChannels : kChannels;
  const int64_t tasks = (channels + block - 1) / block;
  parallel_for(shape[0] * tasks, 1, [&, pixels, channels](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / tasks;
      const int64_t c = i % tasks * block;
      channel_means(x + image * pixels * channels + c, pixels, channels, std::min(block, channels - c),
                    y + image * channels + c);
    }
  });
}

template <typename T>
void spread(const T* dy, T* dx, const Shape& shape) {
  const int64_t pixels = shape[1] * shape[2];
  const int64_t channels = shape[3];
  const float share = 1.0f / static_cast<float>(pixels);
  parallel_for(shape[0], 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      T* image = dx + n * pixels * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c)
        store_rounded(image[c], static_cast<float>(dy[n * channels + c]) * share);
      for (int64_t p = 1; p < pixels; ++p) {
        std::memcpy(image + p * channels, image, static_cast<size_t>(channels) * sizeof(T));
      }
    }
  });
}

}  // namespace

Tensor CpuBackend::global_avg_pool(const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(0), x.dim(3)}, x.dtype());
  dispatch_float(x.dtype(), [&]<typename T>(TypeTag<T>) { average(x.data<T>(), y.data<T>(), x.shape()); });
  return y;
}

Tensor CpuBackend::global_avg_pool_backward(const Tensor& dy, const Shape& x_shape) {
  Tensor dx = Tensor::empty(x_shape, dy.dtype());
  dispatch_float(dy.dtype(), [&]<typename T>(TypeTag<T>) { spread(dy.data<T>(), dx.data<T>(), x_shape); });
  return dx;
}

}  // namespace cytograd
