// A block of pixels becomes planes of 16 bits in the first cache, one a channel, and the sums are products of planes:
// multiply-adds of 16 bits (vpmaddwd), which compilers make of plain loops. The order of pixels does not matter to
// sums, so the planes take them as shuffles give them, alike in all channels. An instruction takes 16 pixels:
// C (C + 1) products and additions, about 4 C to take channels apart. That bounds it from 3 channels on; of what two
// cores read from memory at all, 6 channels take 0.6, 1 channel 0.8.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "engine/arch/lanes.h"
#include "engine/backend_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

// Vectors of the compiler, which knows shuffles on every instruction set. Both halves of one are shuffled alike, since
// AVX2 moves words between them at a cost.
using Half = uint16_t __attribute__((vector_size(16)));
using Words = uint16_t __attribute__((vector_size(32)));
constexpr int kHalf = 8;
constexpr int kWords = 16;
static_assert(std::endian::native == std::endian::little, "a word's low byte comes first");

constexpr int64_t kGroup = 32;  // pixels that are taken apart at once, at most

template <int kChannels>
constexpr int64_t kBlock = kChannels <= 4 ? 2048 : 1024;  // pixels: planes of at most 16 KiB

constexpr int64_t kChunk = 32 * 2048;  // pixels, a task's least
static_assert(2048 * 255 * 255 <= INT32_MAX && 2048 / kWords * 255 <= UINT16_MAX, "a block's sums fit");
static_assert(kChunk % kBlock<1> == 0 && kBlock<8> % kGroup == 0);

template <int kChannels>
struct Planes {
  alignas(64) int16_t x[kChannels][kBlock<kChannels>];
};

/// Which lane of a, or from kWords on of b, each lane of a result takes.
using Order = std::array<int, kWords>;

template <Order kOrder>
Words shuffled(const Words& a, const Words& b) {
  return [&]<int... l>(std::integer_sequence<int, l...>) {
    return __builtin_shufflevector(a, b, kOrder[l]...);
  }
  (std::make_integer_sequence<int, kWords>{});
}

/// take(l) for lane l of either half.
template <typename Take>
constexpr Order in_halves(const Take& take) {
  Order order{};
  for (int l = 0; l < kWords; ++l) order[l] = l / kHalf * kHalf + take(l % kHalf);
  return order;
}

constexpr Order kEvensFirst = in_halves([](int l) { return l * 2 % kHalf + l * 2 / kHalf; });
/// The low (0) or high (1) four lanes of a's half, then of b's.
constexpr Order joined(int part) {
  return in_halves([=](int l) { return part * kHalf / 2 + l % (kHalf / 2) + l / (kHalf / 2) * kWords; });
}
/// The lanes of b that hold word n of kStride, b being the k-th; else a's.
constexpr Order blend(int stride, int n, int k) {
  return in_halves([=](int l) { return l + ((k * kHalf + l) % stride == n ? kWords : 0); });
}
/// Words n of a stride, which lie anywhere, by their order in memory.
constexpr Order sort(int stride, int n) {
  return in_halves([=](int l) { return (n + stride * l) % kHalf; });
}

/// Takes apart words that repeat after kStride: put(n, word n of each repetition), n counted as first + step * n. The
/// first halves of v[0], v[1], ... follow each other in memory, and the second.
template <int kStride, int kFirst, int kStep, typename Put>
void take_apart(const std::array<Words, kStride>& v, const Put& put) {
  if constexpr (kStride % 2 == 0) {
    std::array<Words, kStride / 2> even, odd;
    for (int k = 0; k < kStride; k += 2) {
      const Words a = shuffled<kEvensFirst>(v[k], v[k]);
      const Words b = shuffled<kEvensFirst>(v[k + 1], v[k + 1]);
      even[k / 2] = shuffled<joined(0)>(a, b);
      odd[k / 2] = shuffled<joined(1)>(a, b);
    }
    take_apart<kStride / 2, kFirst, 2 * kStep>(even, put);
    take_apart<kStride / 2, kFirst + kStep, 2 * kStep>(odd, put);
  } else {
    // The stride is odd: in each of the v, word n has lanes that it has in no other, so that blends gather it.
    unrolled<kStride>([&](auto n) {
      Words words = v[0];
      unrolled<kStride>([&](auto k) { words = shuffled<blend(kStride, n, k)>(words, v[k]); });
      put(kFirst + kStep * n, shuffled<sort(kStride, n)>(words, words));
    });
  }
}

/// Fills the planes with `pixels` pixels, a multiple of kGroup, and adds the channels' sums.
template <int kChannels>
void split(const uint8_t* x, int64_t pixels, Planes<kChannels>& planes,
           std::array<int64_t, kChannels>& sums) {
  // Two channels a word; of an odd number, two pixels make whole words.
  constexpr int kStride = kChannels % 2 == 0 ? kChannels / 2 : kChannels;
  constexpr int64_t kPixels = kWords * 2 * kStride / kChannels;
  std::array<Words, kChannels> sum{};
  for (int64_t p = 0; p < pixels; p += kPixels, x += kPixels * kChannels) {
    std::array<Words, kStride> v;
    for (int k = 0; k < kStride; ++k) {
      Half low, high;
      std::memcpy(&low, x + k * sizeof(Half), sizeof(Half));
      std::memcpy(&high, x + (kStride + k) * sizeof(Half), sizeof(Half));
      v[k] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    take_apart<kStride, 0, 1>(v, [&](int n, const Words& words) {
      const auto put = [&](int byte, const Words& plane) {
        sum[byte % kChannels] += plane;
        std::memcpy(&planes.x[byte % kChannels][p + byte / kChannels * kWords], &plane, sizeof(Words));
      };
      put(2 * n, words & 0xff);
      put(2 * n + 1, words >> 8);
    });
  }
  for (int c = 0; c < kChannels; ++c) {
    for (int l = 0; l < kWords; ++l) sums[c] += sum[c][l];
  }
}

/// products[kRow][j] += plane kRow times plane j, j from kRow on.
template <int kRow, int kChannels, typename Sums>
void add_products(const Planes<kChannels>& planes, int64_t pixels, Sums& products) {
  constexpr int kCount = kChannels - kRow;
  int32_t sum[kCount] = {};
  for (int64_t p = 0; p < pixels; ++p) {
    for (int j = 0; j < kCount; ++j) sum[j] += int32_t{planes.x[kRow][p]} * planes.x[kRow + j][p];
  }
  for (int j = 0; j < kCount; ++j) products[kRow][kRow + j] += sum[j];
}

template <int kChannels>
void add_sums(const uint8_t* x, int64_t pixels, int64_t* sums) {
  parallel_for(pixels, kChunk, [=](int64_t begin, int64_t end) {
    constexpr int64_t kPixels = kBlock<kChannels>;
    Planes<kChannels> planes;
    std::array<int64_t, kChannels> sum{};
    std::array<std::array<int64_t, kChannels>, kChannels> products{};
    for (int64_t first = begin; first < end; first += kPixels) {
      const int64_t count = std::min(kPixels, end - first);
      const int64_t whole = (count + kGroup - 1) / kGroup * kGroup;
      const uint8_t* block = x + first * kChannels;
      if (count == whole) {
        split<kChannels>(block, count, planes, sum);
      } else {
        std::array<uint8_t, kPixels * kChannels> padded{};  // pixels of zero add nothing
        std::memcpy(padded.data(), block, static_cast<size_t>(count * kChannels));
        split<kChannels>(padded.data(), whole, planes, sum);
      }
      unrolled<kChannels>([&](auto row) {
        // The next block comes from memory while products are computed.
        if (first + 2 * kPixels <= end) {
          for (int64_t i = row * kPixels; i < (row + 1) * kPixels; i += 64)
            __builtin_prefetch(block + kPixels * kChannels + i);
        }
        add_products<row>(planes, whole, products);
      });
    }
    const auto add = [&](int64_t row, int64_t column, int64_t v) {
      std::atomic_ref(sums[row * kChannels + column]).fetch_add(v, std::memory_order_relaxed);
    };
    for (int i = 0; i < kChannels; ++i) {
      add(0, i, sum[i]);
      for (int j = 0; j < kChannels; ++j) add(1 + i, j, products[std::min(i, j)][std::max(i, j)]);
    }
  });
}

}  // namespace

void CpuBackend::channel_sums(const Tensor& x, Tensor& sums) {
  const int64_t channels = sums.dim(1);
  unrolled<8>([&](auto k) {
    if (channels == k + 1) add_sums<k + 1>(x.data<uint8_t>(), x.elements() / channels, sums.data<int64_t>());
  });
}

}  // namespace cytograd
