// y[r, c] = x[r, c] where x has a channel c, else 0. A thread writes eight channels of a row. Bytes a row: x read and y
// written once; from 6 to 8 channels of 16 bits 28, at 4.3 TB/s 154 billion rows a second.
#include "kernels/channels.cuh"
#include "kernels/pad_channels.h"

namespace cytograd {
namespace {

constexpr int kPadBlock = 256;

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kPadBlock)
    pad_channels_kernel(const T* x, T* y, int64_t rows, int64_t x_channels, int64_t y_channels) {
  const int64_t eights = (y_channels + kEight - 1) / kEight;
  for (int64_t i = global_thread(); i < rows * eights; i += grid_threads()) {
    const int64_t row = i / eights;
    const int64_t channel = (i - row * eights) * kEight;
    const Eight<T> v =
        load_eight<false>(x + row * x_channels + channel, static_cast<int>(x_channels - channel));
    store_eight<kPacked>(y + row * y_channels + channel, v, static_cast<int>(y_channels - channel));
  }
}

}  // namespace

void launch_pad_channels(const PadChannelsArguments& arguments, device::Stream stream) {
  const int64_t eights = (arguments.y_channels + kEight - 1) / kEight;
  if (arguments.rows * eights == 0) return;
  dispatch_channels(arguments.type, packed_channels(arguments.y_channels, {arguments.y}),
                    [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
                      launch("pad_channels", pad_channels_kernel<T, Packed::value>,
                             {.grid = {blocks_for(arguments.rows * eights, 1, kPadBlock)},
                              .block = {kPadBlock},
                              .stream = stream},
                             static_cast<const T*>(arguments.x), static_cast<T*>(arguments.y), arguments.rows,
                             arguments.x_channels, arguments.y_channels);
                    });
}

}  // namespace cytograd
