// S_j = sum_p x[p, j], S_ij = sum_p x[p, i] x[p, j] over pixels of C bytes, in whole numbers.
//
// channel_sums reads each byte once, C a pixel: at 4.3 TB/s, 717 billion pixels of 6 channels a second. Four pixels
// take 3 C byte permutations and C (C + 3) / 2 dot products of four bytes; at 6 channels 45 instructions for 24 bytes,
// a third of what an H200 issues in the time that memory needs.
//
// The matrix product wants a row a channel, K long: channel_planes reads C bytes a pixel and writes 16, the product
// reads 16, some 40 bytes at 6 channels. Bytes are signed there, y = x - 128, and beside them a row of ones gives
// T_j = sum_p y[p, j] and the number of pixels n; S_j = T_j + 128 n, S_ij = T_ij + 128 (T_i + T_j) + 128^2 n.
#include <stdexcept>
#include <utility>

#include "kernels/channel_sums.h"
#include "kernels/device.cuh"

namespace cytograd {
namespace {

constexpr int kSumsBlock = 128;
constexpr int kThreadPixels = 16;
constexpr int kTilePixels = kSumsBlock * kThreadPixels;
constexpr uint32_t kOnes = 0x01010101u;

/// Raw pixels in shared memory. One thread's are an odd number of 16 bytes from the next one's: eight threads, whose
/// 16 bytes each are served at once, read from different banks.
template <int kChannels>
struct Tile {
  static constexpr int kBytes = kTilePixels * kChannels;
  static constexpr int kStride = kChannels | 1;

  alignas(16) uint8_t raw[kSumsBlock * kStride * 16];

  /// Address of the tile's i-th 16 bytes.
  __device__ __forceinline__ uint8_t* slot(uint32_t i) {
    return raw + 16 * (kStride == kChannels ? i : i + i / kChannels);
  }

  /// Copies kBytes from x on, of which there are `count`; zeros follow.
  __device__ __forceinline__ void stage(const uint8_t* x, int64_t count) {
    if (count >= kBytes && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
      Pack<uint8_t> packs[kChannels];
#pragma unroll
      for (int k = 0; k < kChannels; ++k) packs[k] = load_pack(x + 16 * (k * kSumsBlock + threadIdx.x));
#pragma unroll
      for (int k = 0; k < kChannels; ++k) store_pack(slot(k * kSumsBlock + threadIdx.x), packs[k]);
      return;
    }
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < kBytes; i += kSumsBlock) slot(i / 16)[i % 16] = i < count ? x[i] : 0;
  }
};

/// A thread's pixels of a tile.
template <int kChannels>
struct ThreadPixels {
  uint32_t words[4 * kChannels];

  __device__ __forceinline__ explicit ThreadPixels(Tile<kChannels>& tile) {
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
      const Pack<uint8_t> pack = load_pack(tile.slot(threadIdx.x * kChannels + k));
      memcpy(words + 4 * k, &pack, sizeof(pack));
    }
  }

  /// Bytes `first` and `second` in the low half.
  __device__ __forceinline__ uint32_t two(int first, int second) const {
    return __byte_perm(words[first / 4], words[second / 4],
                       static_cast<uint32_t>(first % 4 | (4 + second % 4) << 4));
  }
  /// A channel of pixels 4 group to 4 group + 3.
  __device__ __forceinline__ uint32_t plane(int group, int channel) const {
    const int first = 4 * group * kChannels + channel;
    return __byte_perm(two(first, first + kChannels), two(first + 2 * kChannels, first + 3 * kChannels),
                       0x5410u);
  }
};

template <int kChannels>
constexpr int kSums = kChannels + kChannels*(kChannels + 1) / 2;

template <int kChannels>
constexpr int kBlocksPerMultiprocessor = kChannels <= 4   ? 8
                                         : kChannels <= 6 ? 6
                                                          : 4;

// Tiles whose sums of products, in a thread, 32 bits hold.
constexpr int64_t kMaxTiles = 4096;
static_assert(kMaxTiles * kThreadPixels * 255 * 255 <= int64_t{0xffffffff});

template <int kChannels>
struct SumsShared {
  Tile<kChannels> tile;
  uint64_t of_warp[kSumsBlock / kWarp][kSums<kChannels>];
};

template <int kChannels>
__global__ void __launch_bounds__(kSumsBlock, kBlocksPerMultiprocessor<kChannels>)
    channel_sums_kernel(const uint8_t* x, unsigned long long* sums, int64_t pixels) {
  auto& shared = block_shared<SumsShared<kChannels>>();
  using Bytes = Tile<kChannels>;
  const int64_t all = pixels * kChannels;
  uint32_t sum[kSums<kChannels>] = {};
  for (int64_t first = int64_t{blockIdx.x} * Bytes::kBytes; first < all;
       first += int64_t{gridDim.x} * Bytes::kBytes) {
    shared.tile.stage(x + first, all - first);
    __syncthreads();
    const ThreadPixels<kChannels> mine(shared.tile);
#pragma unroll
    for (int group = 0; group < kThreadPixels / 4; ++group) {
      uint32_t plane[kChannels];
      int k = kChannels;
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        plane[i] = mine.plane(group, i);
        sum[i] = __dp4a(plane[i], kOnes, sum[i]);
#pragma unroll
        for (int j = 0; j <= i; ++j, ++k) sum[k] = __dp4a(plane[i], plane[j], sum[k]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int k = 0; k < kSums<kChannels>; ++k) {
    const uint64_t total = warp_sum(uint64_t{sum[k]});
    if (threadIdx.x % kWarp == 0) shared.of_warp[threadIdx.x / kWarp][k] = total;
  }
  __syncthreads();
  const int k = static_cast<int>(threadIdx.x);
  if (k >= kSums<kChannels>) return;
  unsigned long long total = 0;
#pragma unroll
  for (int warp = 0; warp < kSumsBlock / kWarp; ++warp) total += shared.of_warp[warp][k];
  if (k < kChannels) {
    atomicAdd(sums + k, total);
    return;
  }
  int i = 0, j = k - kChannels;
  for (; j > i; ++i) j -= i + 1;
  atomicAdd(sums + (1 + i) * kChannels + j, total);
  if (i != j) atomicAdd(sums + (1 + j) * kChannels + i, total);
}

/// `width` pixels a chunk.
template <int kChannels>
__global__ void __launch_bounds__(kSumsBlock)
    channel_planes_kernel(const uint8_t* x, int8_t* planes, int64_t pixels, int64_t width) {
  auto& shared = block_shared<Tile<kChannels>>();
  const int64_t tile = int64_t{blockIdx.x} * kTilePixels;
  shared.stage(x + tile * kChannels, (pixels - tile) * kChannels);
  __syncthreads();
  const int64_t first = tile + threadIdx.x * kThreadPixels;
  const int64_t chunk = first / width;
  if (chunk * width >= pixels) return;
  const ThreadPixels<kChannels> mine(shared);
  int8_t* out = planes + chunk * kPlaneRows * width + first % width;
  Pack<uint32_t> live;  // 0xff for a pixel, 0 beyond the last
#pragma unroll
  for (int group = 0; group < 4; ++group) {
    const int64_t left = pixels - first - 4 * group;
    live.v[group] = left >= 4 ? 0xffffffffu : left <= 0 ? 0 : (1u << (8 * left)) - 1;
  }
#pragma unroll
  for (int row = 0; row < kPlaneRows; ++row) {
    Pack<uint32_t> pack{};
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (row < kChannels) pack.v[group] = (mine.plane(group, row) ^ 0x80808080u) & live.v[group];
      if (row == kChannels) pack.v[group] = kOnes & live.v[group];
    }
    store_pack(reinterpret_cast<uint32_t*>(out + row * width), pack);
  }
}

struct GramShared {
  int64_t of[kPlaneRows][kPlaneRows];
};

/// One block, a thread an element.
__global__ void __launch_bounds__(kPlaneRows* kPlaneRows)
    add_channel_grams_kernel(const int32_t* grams, int64_t* sums, int64_t chunks, int32_t channels) {
  GramShared& shared = block_shared<GramShared>();
  const auto j = static_cast<int32_t>(threadIdx.x), i = static_cast<int32_t>(threadIdx.y);
  int64_t total = 0;
  for (int64_t b = 0; b < chunks; ++b) total += grams[(b * kPlaneRows + i) * kPlaneRows + j];
  shared.of[i][j] = total;
  __syncthreads();
  if (i > channels || j >= channels) return;
  const int64_t pixels = shared.of[channels][channels];
  const int64_t sum_j = shared.of[j][channels];
  if (i == channels) {
    sums[j] += sum_j + 128 * pixels;
  } else {
    sums[(1 + i) * channels + j] += total + 128 * (shared.of[i][channels] + sum_j) + 128 * 128 * pixels;
  }
}

/// f.operator()<C>() with the number of channels.
template <typename F>
void with_channels(int64_t channels, const F& f) {
  [&]<int... k>(std::integer_sequence<int, k...>) {
    if (!((channels == k + 1 ? (f.template operator()<k + 1>(), true) : false) || ...))
      throw std::invalid_argument("channel sums take 1 to 8 channels");
  }
  (std::make_integer_sequence<int, kMaxSummedChannels>{});
}

int64_t tiles_of(int64_t pixels) { return (pixels + kTilePixels - 1) / kTilePixels; }

}  // namespace

void launch_channel_sums(const ChannelSumsArguments& arguments, device::Stream stream) {
  const int64_t tiles = tiles_of(arguments.pixels);
  if (tiles == 0) return;
  with_channels(arguments.channels, [&]<int kChannels>() {
    const int64_t resident = int64_t{multiprocessors()} * kBlocksPerMultiprocessor<kChannels>;
    const int64_t most = tiles < resident ? tiles : resident;
    const int64_t least = (tiles + kMaxTiles - 1) / kMaxTiles;
    launch("channel_sums", channel_sums_kernel<kChannels>,
           {.grid = {static_cast<unsigned>(most > least ? most : least)},
            .block = {kSumsBlock},
            .stream = stream},
           arguments.x, reinterpret_cast<unsigned long long*>(arguments.sums), arguments.pixels);
  });
}

int64_t plane_pixels(int64_t pixels) {
  return pixels < kMaxPlanePixels ? (pixels + 15) / 16 * 16 : kMaxPlanePixels;
}

void launch_channel_planes(const ChannelPlanesArguments& arguments, device::Stream stream) {
  if (arguments.pixels == 0) return;
  const int64_t width = plane_pixels(arguments.pixels);
  const int64_t chunks = (arguments.pixels + width - 1) / width;
  with_channels(arguments.channels, [&]<int kChannels>() {
    launch(
        "channel_planes", channel_planes_kernel<kChannels>,
        {.grid = {static_cast<unsigned>(tiles_of(chunks * width))}, .block = {kSumsBlock}, .stream = stream},
        arguments.x, arguments.planes, arguments.pixels, width);
  });
}

void launch_add_channel_grams(const ChannelGramsArguments& arguments, device::Stream stream) {
  launch("add_channel_grams", add_channel_grams_kernel,
         {.grid = {1}, .block = {kPlaneRows, kPlaneRows}, .stream = stream}, arguments.grams, arguments.sums,
         arguments.chunks, static_cast<int32_t>(arguments.channels));
}

}  // namespace cytograd
