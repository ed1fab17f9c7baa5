// y = (v - centre) * scale + shift with v the fused, shrunk pixels, turned. Reads each raw byte of the crop once and
// writes y once. Bytes an element, without fusion: 1 + 4 in f32, 1 + 2 in 16 bits, with 3 more read by shrink 2; at
// 4.3 TB/s, 860, 1,430, 540 and 720 billion elements a second. The loops over pixels take, in instructions an element
// as nvcc 13 compiles them for six channels, with shrink 1 and 2: 5.4 and 9.5 without fusion (9.3 and 17 where a thread
// has a channel, as with other numbers of channels); 16 and 24 with a linear fusion into three, 24 with shrink 1 where
// it is of another number of channels; 20 with shrink 1 and a colour map, by a table or by ramps, which read shared
// memory twice a pixel and not twelve times. Beside them a thread takes some 480 for its part of a tile, copies
// included, where it has 96 elements of six channels in 16 bits. One instruction for each of 100 million elements takes
// 132 multiprocessors 3.4 us: counted, not yet timed; tiles of 32 x 32, with 28.9 an element in all, reached 52% of a
// copy.
#include <type_traits>

#include "kernels/fusion.cuh"
#include "kernels/preprocess.h"

namespace cytograd {
namespace {

// By their registers.
template <typename F>
constexpr int kBlocksAtOnce = std::is_same_v<F, PlainPixels> || std::is_same_v<F, RampedSix> ? 4 : 3;

// Whether a group has F::kValues channels; a linear fusion's last may have fewer.
template <typename F>
constexpr bool kWholeGroups = std::is_integral_v<typename F::Value>;

/// Whether values come with 2^23 added, as what is read of a byte is then a float: exactly, and so is v - centre.
template <typename F>
constexpr bool kLifted = std::is_same_v<F, SixChannels> || std::is_same_v<F, RampedSix>;

/// Whether values come less what they are at the centre of their image.
template <typename F>
constexpr bool kCentred = std::is_same_v<F, MixedSix>;

/// y = (v - subtracted) * scale + shift; where values are centred, nothing is subtracted.
struct ChannelAffine {
  float subtracted, scale, shift;
};

template <typename F>
struct PreprocessShared {
  typename F::Table table;
  ChannelAffine affine[kMaxImageChannels];
};

/// What a block's share of a multiprocessor's shared memory leaves for raw pixels and y: 1 KiB is CUDA's own. The
/// larger a tile, the less of a thread's time goes to finding its part of it.
template <typename F>
int64_t tile_bytes() {
  const auto all = static_cast<int64_t>(device::info().shared_bytes);
  return all / kBlocksAtOnce<F> - (1 << 10) - static_cast<int64_t>(sizeof(PreprocessShared<F>));
}

/// What y is, and how a tile of it lies in shared memory: rows of `pitch` elements, the first `in_slot(y's)` elements
/// in, so that 16 bytes that are aligned there are aligned in y.
template <typename Y>
struct Target {
  const ChannelMoments* moments;
  uint32_t parts;
  int32_t channels;  // of which there are moments
  Y* y;
  int32_t pitch;
  int32_t lanes;  // logarithm of the threads that write a row
};

/// Of a channel over all of an image, in every lane; all lanes of the warp take part.
template <typename Y>
__device__ __forceinline__ ChannelMoments moments_of(const Target<Y>& target, int64_t image,
                                                     int32_t channel) {
  const uint32_t lane = threadIdx.x % kWarp;
  ChannelMoments part{0.0, 0.0};
  if (lane < target.parts) part = target.moments[(image * target.parts + lane) * target.channels + channel];
  return {warp_sum(part.sum), warp_sum(part.square)};
}

/// Writes the image's centre, the whole means of its boxes' sums, or 0 where nothing is normalised. Returns what the
/// fused channel is there, in every lane; all lanes of the warp take part.
template <typename Y>
__device__ __forceinline__ double find_centre(const FusedImages& images, const Target<Y>& target,
                                              int64_t image, int32_t channel, MixedSix::Table& table) {
  const double share = 1.0 / static_cast<double>(images.rows * images.columns);
  auto fused = static_cast<double>(images.bias[channel]);
#pragma unroll
  for (int32_t c = 0; c < MixedSix::channels; ++c) {
    double mean = 0.0;
    if (target.moments != nullptr) mean = rint(moments_of(target, image, images.fused + c).sum * share);
    fused += static_cast<double>(MixedPixels::weight_of(images, channel, c)) * mean;
    if (threadIdx.x == 0) table.centre[c] = static_cast<float>(mean) + __uint_as_float(SixChannels::kLift);
  }
  return fused;
}

/// What normalises a channel of an image, in lane 0; all lanes of the warp take part. As the CPU's: see find_affine in
/// engine/ops/preprocess_cpu.cpp.
template <typename F, typename Y>
__device__ __forceinline__ ChannelAffine affine_of(const FusedImages& images, const Target<Y>& target,
                                                   int64_t image, int32_t channel, typename F::Table& table) {
  constexpr bool kWhole = std::is_integral_v<typename F::Value>;
  // Sums over K x K stand for their means; a linear fusion has divided already.
  const double box = kWhole ? static_cast<double>(int64_t{images.shrink} * images.shrink) : 1.0;
  double mean = 0.0;
  double factor = 1.0 / (255.0 * box);
  if (target.moments != nullptr) {
    const ChannelMoments sums = moments_of(target, image, channel);
    const auto pixels = static_cast<double>(images.rows * images.columns);
    mean = sums.sum / pixels;
    const double variance = fmax(0.0, sums.square / pixels - mean * mean);
    factor = 1.0 / (sqrt(variance) + 1e-3 * box);
  }
  // What values come above, and what is then subtracted. Whole numbers less a whole number are exact.
  double centre = kWhole ? rint(mean) : static_cast<double>(static_cast<float>(mean));
  auto subtracted = static_cast<float>(centre);
  if constexpr (kLifted<F>) subtracted += __uint_as_float(SixChannels::kLift);
  if constexpr (kCentred<F>) {
    centre = find_centre(images, target, image, channel, table);
    subtracted = 0.0f;
  }
  const double scale = factor * static_cast<double>(images.views[image].gain[channel]);
  const double offset = static_cast<double>(images.views[image].offset[channel]);
  return {subtracted, static_cast<float>(scale), static_cast<float>((centre - mean) * scale + offset)};
}

/// A tile of y and the patch of the crop that it shows. With P the crop and A the mirrored crop, y[i][j] is A[i][j],
/// A[j][w - 1 - i], A[h - 1 - i][w - 1 - j] or A[h - 1 - j][i] for zero to three turns.
struct TurnedTile {
  Patch y;
  Patch crop;
  bool odd, upward, backward;

  __device__ TurnedTile(const FusedImages& images, const Tiling& tiling, uint32_t image, uint32_t i)
      : y(tile_of(tiling, i)) {
    const ImageView& view = images.views[image];
    const int32_t turns = view.quarter_turns;
    odd = turns % 2 == 1;
    upward = turns >= 2;
    backward = (view.mirror != 0) != (turns == 1 || turns == 2);
    crop = odd ? Patch{y.left, y.top, y.columns, y.rows} : y;
    if (upward) crop.top = tiling.rows - crop.top - crop.rows;
    if (backward) crop.left = tiling.columns - crop.left - crop.columns;
  }
};

/// Writes normalised channels of pixels of the crop to where they lie in the tile of y.
template <typename F, typename Y>
struct WriteTurned {
  Y* to;  // the crop's first pixel, then a run's, first channel of the group
  int32_t row_step, column_step;
  int32_t channels;  // of the group
  ChannelAffine affine[F::kValues];

  __device__ WriteTurned(const TurnedTile& tile, Y* first, int32_t pitch, int32_t fused, int32_t group)
      : to(first + group * F::kValues), channels(fused - group * F::kValues) {
    row_step = tile.odd ? fused : pitch;
    column_step = tile.odd ? pitch : fused;
    if (tile.upward) {
      to += (tile.crop.rows - 1) * row_step;
      row_step = -row_step;
    }
    if (tile.backward) {
      to += (tile.crop.columns - 1) * column_step;
      column_step = -column_step;
    }
  }

  __device__ __forceinline__ void begin(const PixelPart& part, int32_t apart) {
    to += part.row * row_step + part.column * column_step;
    row_step *= part.step;
    column_step *= apart;
  }
  template <int kShrink, int kPixels, typename Index>
  __device__ __forceinline__ void take(int32_t at, const F& fusion, const uint8_t* first, Index apart,
                                       Index pitch) {
    typename F::Value v[kPixels][F::kValues];
    if constexpr (kLifted<F>) {
      fusion.template read_lifted<kShrink>(first, apart, pitch, v);
    } else {
      fusion.template read<kShrink>(first, apart, pitch, v);
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) put(at + p, v[p]);
  }
  __device__ __forceinline__ void next_row() { to += row_step; }
  template <int kShrink>
  __device__ __forceinline__ void end() {}

 private:
  static __device__ __forceinline__ float number(typename F::Value v) {
    if constexpr (kLifted<F>) {
      return __uint_as_float(v);
    } else {
      return static_cast<float>(v);
    }
  }
  __device__ __forceinline__ void put(int32_t p, const typename F::Value (&v)[F::kValues]) {
    Y* pixel = to + p * column_step;
    const auto y = [&](int i) {
      const float above = kCentred<F> ? number(v[i]) : number(v[i]) - affine[i].subtracted;
      return Y(above * affine[i].scale + affine[i].shift);
    };
    if constexpr (std::is_same_v<F, SixChannels>) {  // y, and so each pixel, is aligned to two elements
#pragma unroll
      for (int i = 0; i < F::kValues; i += 2) store_two(pixel + i, y(i), y(i + 1));
    } else {
#pragma unroll
      for (int i = 0; i < F::kValues; ++i) {
        if (kWholeGroups<F> || i < channels) pixel[i] = y(i);
      }
    }
  }
};

/// Copies a tile from shared memory to y. `shift`: where its first element lies in `shared`, less than a pack in.
template <typename Y>
__device__ __forceinline__ void store_tile(const Y* shared, int32_t shift, const Target<Y>& target, Y* first,
                                           int64_t y_pitch, int32_t rows, int32_t elements) {
  constexpr int32_t kCount = Pack<Y>::kCount;
  const int32_t step = kTileBlock >> target.lanes;
  const int32_t slot = static_cast<int32_t>(threadIdx.x) & ((1 << target.lanes) - 1);
  int32_t row = static_cast<int32_t>(threadIdx.x) >> target.lanes;
  if (target.pitch % kCount == 0) {  // all rows start alike
    const int32_t at = slot * kCount;
    if (at >= shift + elements) return;
    if (at >= shift && at + kCount <= shift + elements) {
      const Y* from = shared + row * target.pitch + at;
      Y* to = first + row * y_pitch + (at - shift);
      const int32_t from_step = step * target.pitch;
      const int64_t to_step = step * y_pitch;
      in_fours(
          strides(row, rows, kLogTileBlock - target.lanes),
          [&](int k) { store_pack(to + k * to_step, load_pack(from + k * from_step)); },
          [&](int k) {
            from += k * from_step;
            to += k * to_step;
          });
      return;
    }
  }
#pragma unroll 1
  for (; row < rows; row += step) {
    const int32_t start = shift + row * target.pitch;
    const int32_t end = start + elements;
    const int32_t at = (start & -kCount) + slot * kCount;
    Y* line = first + row * y_pitch - start;
    if (at >= start && at + kCount <= end) {
      store_pack(line + at, load_pack(shared + at));
    } else {
#pragma unroll 1
      for (int32_t j = at; j < at + kCount; ++j) {
        if (j >= start && j < end) line[j] = shared[j];
      }
    }
  }
}

/// A block's tiles follow each other, so that it seldom comes to another image. The first blocks have the last images,
/// of which the L2 cache may still have what the statistics read last.
template <typename F, typename Y>
__global__ void __launch_bounds__(kTileBlock, kBlocksAtOnce<F>)
    preprocess_kernel(FusedImages images, Tiling tiling, Target<Y> target) {
  auto& shared = block_shared<PreprocessShared<F>>();
  uint8_t* raw = dynamic_shared<uint8_t>();
  Y* tile_y = reinterpret_cast<Y*>(raw + tiling.raw_bytes);
  const PixelPart part(F::groups(images), tiling.log_side);
  F::fill(images, shared.table);
  const int32_t y_pitch = tiling.columns * images.fused;
  const int64_t y_image = int64_t{tiling.rows} * y_pitch;
  const int32_t channel =
      static_cast<int32_t>(threadIdx.x) / kWarp;  // that the thread's warp finds the affine of
  const auto tiles = static_cast<uint32_t>(images.count * tiling.an_image);
  const auto end = static_cast<uint32_t>((uint64_t{blockIdx.x} + 1) * tiles / gridDim.x);
  uint32_t known = UINT32_MAX;  // image whose affine is in shared memory
  for (auto i = static_cast<uint32_t>(uint64_t{blockIdx.x} * tiles / gridDim.x); i < end; ++i) {
    const uint32_t at = tiles - 1 - i;
    const uint32_t image = at / tiling.an_image;
    const TurnedTile tile(images, tiling, image, at % tiling.an_image);
    const uint8_t* first = first_raw(images, tiling, image, tile.crop);
    Y* y = target.y + image * y_image + int64_t{tile.y.top} * y_pitch + tile.y.left * images.fused;
    const auto shift = static_cast<int32_t>(in_slot(y) / sizeof(Y));

    if (tiling.staged != 0) stage(images, tiling, first, tile.crop, raw);
    if (image != known && channel < images.fused) {
      const ChannelAffine affine = affine_of<F>(images, target, image, channel, shared.table);
      if (threadIdx.x % kWarp == 0) shared.affine[channel] = affine;
    }
    known = image;
    wait_copies();
    __syncthreads();
    WriteTurned<F, Y> write(tile, tile_y + shift, target.pitch, images.fused, part.group);
#pragma unroll
    for (int j = 0; j < F::kValues; ++j) write.affine[j] = shared.affine[part.group * F::kValues + j];
    const F fusion(images, shared.table, part.group);
    visit_patch(fusion, images, tiling, first, raw, tile.crop, part, write);
    __syncthreads();
    store_tile(tile_y, shift, target, y, y_pitch, tile.y.rows, tile.y.columns * images.fused);
  }
}

/// Elements between rows of a tile: as far apart, modulo 16 bytes, as in y, and by an odd number of 16 bytes, so that
/// the pixels of a column lie in different banks.
template <typename Y>
int32_t tile_pitch(const FusedImages& images, int64_t side) {
  constexpr int64_t kCount = Pack<Y>::kCount;
  const int64_t packs = (side * images.fused + kCount - 1) / kCount;
  return static_cast<int32_t>((packs | 1) * kCount + images.columns * images.fused % kCount);
}

template <typename F, typename Y>
void preprocess(const PreprocessArguments& arguments, device::Stream stream) {
  const FusedImages& images = arguments.images;
  const auto y_bytes = [&](int64_t side) {
    return side * tile_pitch<Y>(images, side) * static_cast<int64_t>(sizeof(Y)) + 16;
  };
  const Tiling tiling = tiling_of(images, tile_bytes<F>(), y_bytes);
  const int64_t side = int64_t{1} << tiling.log_side;
  const int64_t tiles = images.count * tiling.an_image;
  const int64_t most =
      int64_t{multiprocessors()} * kBlocksAtOnce<F> * 2;  // the second when the first are done
  const Target<Y> target{.moments = arguments.moments,
                         .parts = static_cast<uint32_t>(arguments.parts),
                         .channels = arguments.moment_channels,
                         .y = static_cast<Y*>(arguments.y),
                         .pitch = tile_pitch<Y>(images, side),
                         .lanes = log_lanes(side * images.fused * static_cast<int64_t>(sizeof(Y)))};
  launch("preprocess", preprocess_kernel<F, Y>,
         {.grid = {static_cast<unsigned>(tiles < most ? tiles : most)},
          .block = {kTileBlock},
          .shared_bytes = static_cast<size_t>(tiling.raw_bytes + y_bytes(side)),
          .stream = stream},
         images, tiling, target);
}

}  // namespace

void launch_preprocess(const PreprocessArguments& arguments, device::Stream stream) {
  if (arguments.images.count == 0) return;
  dispatch_fusion(arguments.images, aligned16(arguments.y), [&]<typename F>(FusionTag<F>) {
    dispatch_element(arguments.type, [&]<typename Y>(ElementTag<Y>) { preprocess<F, Y>(arguments, stream); });
  });
}

}  // namespace cytograd
