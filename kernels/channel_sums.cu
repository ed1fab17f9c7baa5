// S_j = sum_p x[p, j], S_ij = sum_p x[p, i] x[p, j] over pixels of C bytes, in whole numbers.
//
// channel_sums reads each byte once, C a pixel: at 4.3 TB/s, 717 billion pixels of 6 channels a second. Four pixels
// take 3 C byte permutations and C (C + 3) / 2 dot products of four bytes; at 6 channels 45 instructions for 24 bytes,
// a third of what an H200 issues in the time that memory needs. Each warp asks for its next bytes, 1.5 to 4 KB, before
// it sums up those it has; lanes exchange them through shared memory, unless 16 bytes are whole pixels.
// An H200 at 632b5f2: 0.91 to 0.93 of a copy, for 1 to 8 channels.
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
constexpr int kSumsWarps = kSumsBlock / kWarp;
constexpr int kThreadPixels = 16;
constexpr int kTilePixels = kSumsBlock * kThreadPixels;
constexpr uint32_t kOnes = 0x01010101u;

/// 16 bytes, four a word: as an array of bytes each would take a register.
__device__ __forceinline__ void load_words(uint32_t* words, const uint8_t* p) {
  const uint4 four = *reinterpret_cast<const uint4*>(p);
  words[0] = four.x;
  words[1] = four.y;
  words[2] = four.z;
  words[3] = four.w;
}

/// The running lane's of a warp's 16-byte packs, which lie one lane's after another's, from x on, aligned to 16.
template <int kPacks>
struct LanePacks {
  static constexpr int kWarpBytes = kWarp * 16 * kPacks;

  uint32_t words[4 * kPacks];

  __device__ __forceinline__ void load(const uint8_t* x) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      load_words(words + 4 * k, x + 16 * (k * kWarp + threadIdx.x % kWarp));
    }
  }
};

/// Raw pixels of a warp in shared memory. One lane's are an odd number of 16 bytes from the next one's: eight lanes,
/// whose 16 bytes each are served at once, read from different banks.
template <int kChannels>
struct WarpTile {
  static constexpr int kStride = kChannels | 1;

  alignas(16) uint8_t raw[kWarp * kStride * 16];

  /// Address of the tile's i-th 16 bytes.
  __device__ __forceinline__ uint8_t* slot(uint32_t i) {
    return raw + 16 * (kStride == kChannels ? i : i + i / kChannels);
  }
  __device__ __forceinline__ void stage(const LanePacks<kChannels>& packs) {
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
      const uint32_t* words = packs.words + 4 * k;
      *reinterpret_cast<uint4*>(slot(k * kWarp + threadIdx.x % kWarp)) = {words[0], words[1], words[2],
                                                                          words[3]};
    }
  }
  /// From x on, where there are `count` bytes; zeros follow.
  __device__ __forceinline__ void stage(const uint8_t* x, int64_t count) {
    constexpr uint32_t kBytes = LanePacks<kChannels>::kWarpBytes;
    if (count >= kBytes && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
      LanePacks<kChannels> packs;
      packs.load(x);
      stage(packs);
      return;
    }
#pragma unroll 1
    for (uint32_t i = threadIdx.x % kWarp; i < kBytes; i += kWarp)
      slot(i / 16)[i % 16] = i < count ? x[i] : 0;
  }
};

/// A thread's pixels: of kBytes bytes.
template <int kChannels, int kBytes = kThreadPixels* kChannels>
struct ThreadPixels {
  uint32_t words[kBytes / 4];

  /// Packs of whole pixels.
  __device__ __forceinline__ explicit ThreadPixels(const LanePacks<kBytes / 16>& packs) {
#pragma unroll
    for (int i = 0; i < kBytes / 4; ++i) words[i] = packs.words[i];
  }
  /// The lane's neighbouring pixels.
  __device__ __forceinline__ explicit ThreadPixels(WarpTile<kChannels>& tile) {
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
      load_words(words + 4 * k, tile.slot(threadIdx.x % kWarp * kChannels + k));
    }
  }

  /// Bytes `first` and `second` in the low half.
  __device__ __forceinline__ uint32_t two(int first, int second) const {
    return __byte_perm(words[first / 4], words[second / 4],
                       static_cast<uint32_t>(first % 4 | (4 + second % 4) << 4));
  }
  /// A channel of pixels 4 group to 4 group + 3.
  __device__ __forceinline__ uint32_t plane(int group, int channel) const {
    if constexpr (kChannels == 1) return words[group];
    const int first = 4 * group * kChannels + channel;
    return __byte_perm(two(first, first + kChannels), two(first + 2 * kChannels, first + 3 * kChannels),
                       0x5410u);
  }
};

template <int kChannels>
constexpr int kSums = kChannels + kChannels*(kChannels + 1) / 2;

template <int kChannels>
constexpr int kBlocksPerMultiprocessor = kChannels <= 4   ? 8
                                         : kChannels == 5 ? 7
                                         : kChannels == 6 ? 5
                                                          : 4;

// Pixels whose sums of products, in a thread, 32 bits hold, beside those of a tile and what is left.
constexpr int64_t kMaxThreadPixels = 65536;
static_assert((kMaxThreadPixels + 2 * 64) * 255 * 255 <= int64_t{0xffffffff});

/// Whether 16 bytes are whole pixels, whose sums then need no other lane's bytes.
template <int kChannels>
constexpr bool kWholePixels = 16 % kChannels == 0;

template <int kChannels>
constexpr int kPacksInFlight = kWholePixels<kChannels>&& kChannels < 4 ? 4 : kChannels;

/// Pixels of a block's tile.
template <int kChannels>
constexpr int64_t kTileOfSums = int64_t{kSumsBlock} * 16 * kPacksInFlight<kChannels> / kChannels;

template <int kChannels>
struct SumsShared {
  WarpTile<kWholePixels<kChannels> ? 1 : kChannels> tile[kSumsWarps];  // not used for whole pixels
  uint64_t of_warp[kSumsWarps][kSums<kChannels>];
};

/// Adds the sums of a thread's pixels.
template <int kChannels, int kBytes>
__device__ __forceinline__ void add_sums(const ThreadPixels<kChannels, kBytes>& pixels,
                                         uint32_t (&sum)[kSums<kChannels>]) {
#pragma unroll
  for (int group = 0; group < kBytes / kChannels / 4; ++group) {
    uint32_t plane[kChannels];
    int k = kChannels;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      plane[i] = pixels.plane(group, i);
      sum[i] = __dp4a(plane[i], kOnes, sum[i]);
#pragma unroll
      for (int j = 0; j <= i; ++j, ++k) sum[k] = __dp4a(plane[i], plane[j], sum[k]);
    }
  }
}

/// Blocks take whole tiles in turns, the next one's bytes on their way while a warp sums up its part of one; then
/// single pixels, which are what is left, or all of an unaligned x.
template <int kChannels>
__global__ void __launch_bounds__(kSumsBlock, kBlocksPerMultiprocessor<kChannels>)
    channel_sums_kernel(const uint8_t* x, unsigned long long* sums, int64_t pixels) {
  auto& shared = block_shared<SumsShared<kChannels>>();
  const unsigned warp = threadIdx.x / kWarp;
  using Packs = LanePacks<kPacksInFlight<kChannels>>;
  const int64_t tiles = reinterpret_cast<uintptr_t>(x) % 16 == 0 ? pixels / kTileOfSums<kChannels> : 0;
  const auto bytes = [&](int64_t tile) { return x + (tile * kSumsWarps + warp) * Packs::kWarpBytes; };
  uint32_t sum[kSums<kChannels>] = {};
  Packs packs;
  int64_t tile = blockIdx.x;
  if (tile < tiles) packs.load(bytes(tile));
  while (tile < tiles) {
    tile += gridDim.x;
    if constexpr (kWholePixels<kChannels>) {
      const ThreadPixels<kChannels, sizeof(packs.words)> mine(packs);
      if (tile < tiles) packs.load(bytes(tile));
      add_sums(mine, sum);
    } else {
      shared.tile[warp].stage(packs);
      __syncwarp();
      if (tile < tiles) packs.load(bytes(tile));
      add_sums(ThreadPixels<kChannels>(shared.tile[warp]), sum);
      __syncwarp();
    }
  }
  for (int64_t p = tiles * kTileOfSums<kChannels> + global_thread(); p < pixels; p += grid_threads()) {
    uint32_t pixel[kChannels];
    int k = kChannels;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      pixel[i] = x[p * kChannels + i];
      sum[i] += pixel[i];
#pragma unroll
      for (int j = 0; j <= i; ++j, ++k) sum[k] += pixel[i] * pixel[j];
    }
  }
#pragma unroll
  for (int k = 0; k < kSums<kChannels>; ++k) {
    const uint64_t total = warp_sum(uint64_t{sum[k]});
    if (threadIdx.x % kWarp == 0) shared.of_warp[warp][k] = total;
  }
  __syncthreads();
  const int k = static_cast<int>(threadIdx.x);
  if (k >= kSums<kChannels>) return;
  unsigned long long total = 0;
#pragma unroll
  for (int w = 0; w < kSumsWarps; ++w) total += shared.of_warp[w][k];
  if (k < kChannels) {
    atomicAdd(sums + k, total);
    return;
  }
  int i = 0, j = k - kChannels;
  for (; j > i; ++i) j -= i + 1;
  atomicAdd(sums + (1 + i) * kChannels + j, total);
  if (i != j) atomicAdd(sums + (1 + j) * kChannels + i, total);
}

template <int kChannels>
struct PlanesShared {
  WarpTile<kChannels> tile[kSumsWarps];
};

/// `width` pixels a chunk.
template <int kChannels>
__global__ void __launch_bounds__(kSumsBlock)
    channel_planes_kernel(const uint8_t* x, int8_t* planes, int64_t pixels, int64_t width) {
  auto& tile = block_shared<PlanesShared<kChannels>>().tile[threadIdx.x / kWarp];
  const int64_t first = int64_t{blockIdx.x} * kTilePixels + threadIdx.x * kThreadPixels;
  const int64_t of_warp = first - threadIdx.x % kWarp * kThreadPixels;
  tile.stage(x + of_warp * kChannels, (pixels - of_warp) * kChannels);
  __syncwarp();
  const int64_t chunk = first / width;
  if (chunk * width >= pixels) return;
  const ThreadPixels<kChannels> mine(tile);
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
  if (arguments.pixels == 0) return;
  with_channels(arguments.channels, [&]<int kChannels>() {
    const int64_t tiles = arguments.pixels / kTileOfSums<kChannels> + 1;
    const int64_t resident = int64_t{multiprocessors()} * kBlocksPerMultiprocessor<kChannels>;
    const int64_t most = tiles < resident ? tiles : resident;
    const int64_t least = (arguments.pixels - 1) / (kSumsBlock * kMaxThreadPixels) + 1;
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
