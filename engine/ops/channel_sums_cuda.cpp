#include <algorithm>

#include "engine/backend_cuda.h"
#include "kernels/channel_sums.h"

namespace cytograd {
namespace {

// Chunks whose planes are in memory at once: 64 MiB.
constexpr int64_t kChunks = 64;

}  // namespace

void CudaBackend::channel_sums_by(ChannelSumsMethod method, const Tensor& x, Tensor& sums) {
  const device::Range range("channel_sums");
  const int64_t channels = sums.dim(1);
  const int64_t pixels = x.elements() / channels;
  if (method == ChannelSumsMethod::kernel) return channel_sums_by(launch_channel_sums, x, sums);
  for (int64_t first = 0; first < pixels; first += kChunks * kMaxPlanePixels) {
    const int64_t count = std::min(pixels - first, kChunks * kMaxPlanePixels);
    const int64_t width = plane_pixels(count);
    const int64_t chunks = (count + width - 1) / width;
    Tensor planes = empty({chunks, kPlaneRows, width}, DType::u8);  // holds signed bytes
    launch_channel_planes({.x = x.data<uint8_t>() + first * channels,
                           .planes = static_cast<int8_t*>(planes.raw()),
                           .pixels = count,
                           .channels = channels},
                          stream());
    Tensor grams = empty({chunks, kPlaneRows, kPlaneRows}, DType::i32);
    multiply_planes(planes, grams);
    launch_add_channel_grams({.grams = grams.data<int32_t>(),
                              .sums = sums.data<int64_t>(),
                              .chunks = chunks,
                              .channels = channels},
                             stream());
  }
}

void CudaBackend::channel_sums_by(Launcher<ChannelSumsArguments> launcher, const Tensor& x, Tensor& sums) {
  const int64_t channels = sums.dim(1);
  launcher({.x = x.data<uint8_t>(),
            .sums = sums.data<int64_t>(),
            .pixels = x.elements() / channels,
            .channels = channels},
           stream());
}

}  // namespace cytograd
