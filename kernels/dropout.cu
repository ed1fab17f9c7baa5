// Bytes an element: 8 in f32, 4 in 16 bits; at 4.3 TB/s, 538 and 1,075 billion elements a second. In 16 bits nvcc 13
// makes 18.6 instructions of an element, 10 of them Philox's, where 132 multiprocessors issue 27 in the time that
// memory needs: counted, not yet timed; with 26, of which some were for uniforms and keys, an H200 at 632b5f2 was at
// 0.76 of a copy, in f32 at 0.89.
#include "kernels/dropout.h"
#include "kernels/elementwise.cuh"
#include "kernels/philox.h"

namespace cytograd {
namespace {

struct Draws {
  PhiloxKeys keys;  // a kernel's arguments are operands: no key is added up
  uint64_t offset;
  const int64_t* step;  // null: 0
  uint32_t least;       // of a word whose upper 24 bits are not below the probability
  float kept;

  /// The words of elements 4 block to 4 block + 3.
  __device__ PhiloxWords operator()(int64_t block) const {
    const auto index = static_cast<uint64_t>(block);
    return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                       static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32)},
                      keys);
  }
  __device__ float drop(float x, uint32_t word) const { return word >= least ? x * kept : 0.0f; }
};

template <typename T>
__global__ void __launch_bounds__(kElementwiseBlock)
    dropout_kernel(const T* x, T* y, int64_t tiles, int64_t count, Draws draws) {
  constexpr int kCount = kAccess<T>;
  if (draws.step != nullptr) draws.offset += static_cast<uint64_t>(*draws.step);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const TilePart<kCount> part(tile);
    float v[kElementwiseChunk];
#pragma unroll
    for (int k = 0; k < kElementwiseChunk; k += kCount) load_values<kCount>(x + part.at(k), v + k);
#pragma unroll
    for (int k = 0; k < kElementwiseChunk; k += 4) {
      const PhiloxWords words = draws((part.at(k / kCount * kCount) + k % kCount) / 4);
      v[k] = draws.drop(v[k], words.w0);
      v[k + 1] = draws.drop(v[k + 1], words.w1);
      v[k + 2] = draws.drop(v[k + 2], words.w2);
      v[k + 3] = draws.drop(v[k + 3], words.w3);
    }
#pragma unroll
    for (int k = 0; k < kElementwiseChunk; k += kCount) store_values<kCount>(y + part.at(k), v + k);
  }
  for (int64_t i = tiles * kElementwiseTile + global_thread(); i < count; i += grid_threads()) {
    const PhiloxWords words = draws(i / 4);
    const int word = static_cast<int>(i % 4);
    const uint32_t mine = word == 0 ? words.w0 : word == 1 ? words.w1 : word == 2 ? words.w2 : words.w3;
    y[i] = T(draws.drop(static_cast<float>(x[i]), mine));
  }
}

}  // namespace

void launch_dropout(const DropoutArguments& arguments, device::Stream stream) {
  if (arguments.count == 0) return;
  // The uniform of a word is its upper 24 bits over 2^24, which f32 holds exactly; so it is the bits that are compared.
  const auto least = static_cast<uint32_t>(ceil(static_cast<double>(arguments.probability) * 0x1p24)) << 8;
  const Draws draws{{static_cast<uint32_t>(arguments.seed), static_cast<uint32_t>(arguments.seed >> 32)},
                    arguments.offset,
                    arguments.step,
                    least,
                    1.0f / (1.0f - arguments.probability)};
  const bool aligned = aligned16(arguments.x) && aligned16(arguments.y);
  dispatch_element(arguments.type, [&]<typename T>(ElementTag<T>) {
    launch("dropout", dropout_kernel<T>,
           {.grid = {blocks_for(arguments.count, kElementwiseChunk, kElementwiseBlock)},
            .block = {kElementwiseBlock},
            .stream = stream},
           static_cast<const T*>(arguments.x), static_cast<T*>(arguments.y),
           aligned ? arguments.count / kElementwiseTile : 0, arguments.count, draws);
  });
}

}  // namespace cytograd
