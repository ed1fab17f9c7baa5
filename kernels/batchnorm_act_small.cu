// A block has eight channels and all of their rows, which its threads keep in shared memory, each its own: x is read
// once, and one launch takes the place of three. With d = x - x[0], mean = x[0] + sum d / n and the variance is
// sum (d - sum d / n)^2 / n, so that a channel's offset costs no precision. The gradients are
// batchnorm_act_backward.cu's. What counts is latency: a launch, one wait for loads and three barriers, where three
// kernels in a graph take 9 us on an H200. Bytes an element, with residual and ReLU: 12.1 forward and 16.1 backward in
// f32, 6.1 and 8.1 in 16 bits, of which accesses of 16 bytes, a row's part, take half a sector. A row takes a thread
// 170 instructions forward, 145 backward: counted, not yet timed.
#include "kernels/batchnorm_act.cuh"
#include "kernels/batchnorm_act_small.h"

namespace cytograd {
namespace {

constexpr int kSmallBlock = 512;
constexpr int kSmallWarps = kSmallBlock / kWarp;
constexpr int64_t kKeptBytes = 64 << 10;  // of an array
constexpr int kMostKept = 3;              // arrays
// What a thread has at most.
template <typename T>
constexpr int kRowsAThread = kKeptBytes / (kEight * sizeof(T)) / kSmallBlock;

/// The warp's sums of each of v: lane l has that of v[l * kValues / kWarp]. In each round lanes give half of what they
/// have to each other, so that the first takes kValues / 2 shuffles and all of them kValues - 1 and a few.
template <int kValues, int kHave = kValues>
__device__ __forceinline__ float warp_sums(float (&v)[kValues]) {
  static_assert(kWarp % kValues == 0);
  constexpr int kLanes = kWarp / 2 * kHave / kValues;
  if constexpr (kHave == 1) {
    float sum = v[0];
#pragma unroll
    for (int lanes = kLanes; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    return sum;
  } else {
    constexpr int kHalf = kHave / 2;
    const bool upper = (threadIdx.y & kLanes) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float kept = upper ? v[i + kHalf] : v[i];
      const float given = upper ? v[i] : v[i + kHalf];
      v[i] = kept + __shfl_xor_sync(kAllLanes, given, kLanes);
    }
    return warp_sums<kValues, kHalf>(v);
  }
}

/// The block's sums of each of v, that of v[i] in thread i, always added in one order.
template <int kValues>
__device__ __forceinline__ float block_sums(float (&v)[kValues], float (&scratch)[kSmallWarps][kValues]) {
  constexpr unsigned kLanesAValue = kWarp / kValues;
  const unsigned thread = threadIdx.y, lane = thread % kWarp;
  const float sum = warp_sums(v);
  if (lane % kLanesAValue == 0) scratch[thread / kWarp][lane / kLanesAValue] = sum;
  __syncthreads();
  float total = 0.0f;
  if (thread < kValues) {
    for (unsigned warp = 0; warp < blockDim.y / kWarp; ++warp) total += scratch[warp][thread];
  }
  return total;
}

/// The running thread's rows of the block's channels.
template <typename T, bool kPacked>
struct KeptRows {
  int64_t channels;
  int64_t channel;
  int32_t rows;
  int count;  // of channels

  __device__ KeptRows(int64_t all_rows, int64_t all_channels)
      : channels(all_channels),
        channel(int64_t{blockIdx.x} * kEight),
        rows(static_cast<int32_t>(all_rows)),
        count(static_cast<int>(channels - channel < kEight ? channels - channel : kEight)) {}

  /// visit(slot, at): where the row begins in an array that is kept, and in one that is not.
  template <typename Visit>
  __device__ __forceinline__ void each(const Visit& visit) const {
#pragma unroll 1
    for (auto row = static_cast<int32_t>(threadIdx.y); row < rows; row += static_cast<int32_t>(blockDim.y))
      visit(row * kEight, row * channels + channel);
  }
  /// To be read by the thread itself, after wait_copies.
  __device__ __forceinline__ void keep(const T* from, T* kept) const {
    each([&](int32_t slot, int64_t at) {
      if constexpr (kPacked) {
#pragma unroll
        for (int i = 0; i < kEight; i += Pack<T>::kCount) copy16_async(kept + slot + i, from + at + i);
      } else {
        put(kept + slot, load_eight<false>(from + at, count));
      }
    });
  }
  __device__ __forceinline__ int64_t elements() const { return int64_t{rows} * kEight; }
  /// Eight values of each of the block's channels; 0 beyond the last.
  __device__ __forceinline__ Eight<float> parameter(const float* values) const {
    return load_eight<kPacked>(values + channel, count);
  }

  static __device__ __forceinline__ Eight<T> get(const T* kept) { return load_eight<true>(kept, kEight); }
  static __device__ __forceinline__ void put(T* kept, const Eight<T>& values) {
#pragma unroll
    for (int i = 0; i < kEight; i += Pack<T>::kCount) {
      const uint32_t* words = values.words + i * sizeof(T) / 4;
      *reinterpret_cast<uint4*>(kept + i) = uint4{words[0], words[1], words[2], words[3]};
    }
  }
};

__device__ __forceinline__ Eight<float> eight_of(const float (&values)[kEight]) {
  return load_eight<true>(&values[0], kEight);
}

struct TrainShared {
  alignas(16) float distance[kEight];  // of the mean from the first row
  alignas(16) float mean[kEight];
  alignas(16) float inv_std[kEight];
  float sums[kSmallWarps][kEight];
  float squares[kSmallWarps][kEight];
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kSmallBlock)
    small_train_kernel(const T* x, const T* residual, T* y, BatchnormActTrainArguments arguments) {
  using Rows = KeptRows<T, kPacked>;
  auto& shared = block_shared<TrainShared>();
  const Rows rows(arguments.rows, arguments.channels);
  T* const kept_x = dynamic_shared<T>();
  T* const kept_residual = kept_x + rows.elements();
  rows.keep(x, kept_x);
  if (residual != nullptr) rows.keep(residual, kept_residual);
  const Eight<T> origin = load_eight<kPacked>(x + rows.channel, rows.count);
  const Eight<float> gamma = rows.parameter(arguments.gamma), beta = rows.parameter(arguments.beta);
  const auto thread = static_cast<int>(threadIdx.y);
  const bool has_channel = thread < rows.count;  // which it finishes, as the first eight threads do
  const int64_t c = rows.channel + thread;
  const double first = has_channel ? static_cast<double>(static_cast<float>(x[c])) : 0.0;
  if (thread < kEight) shared.distance[thread] = shared.mean[thread] = shared.inv_std[thread] = 0.0f;
  wait_copies();

  float sums[kEight] = {};
  rows.each([&](int32_t slot, int64_t) {
    const Eight<T> v = Rows::get(kept_x + slot);
#pragma unroll
    for (int i = 0; i < kEight; ++i) sums[i] += v[i] - origin[i];
  });
  const float sum = block_sums(sums, shared.sums);
  double mean = 0.0, variance = 0.0;
  if (has_channel) {
    const double distance = static_cast<double>(sum) / static_cast<double>(arguments.rows);
    mean = first + distance;
    shared.distance[thread] = static_cast<float>(distance);
    shared.mean[thread] = static_cast<float>(mean);
  }
  __syncthreads();
  const Eight<float> distances = eight_of(shared.distance);
  float squares[kEight] = {};
  rows.each([&](int32_t slot, int64_t) {
    const Eight<T> v = Rows::get(kept_x + slot);
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float d = (v[i] - origin[i]) - distances[i];
      squares[i] = fmaf(d, d, squares[i]);
    }
  });
  const float m2 = block_sums(squares, shared.squares);
  if (has_channel) {
    variance = variance_of(static_cast<double>(m2), arguments.rows);
    shared.inv_std[thread] = inv_std_of(variance, arguments.epsilon);
  }
  __syncthreads();

  const Eight<float> means = eight_of(shared.mean), inv_std = eight_of(shared.inv_std);
  float scale[kEight];
#pragma unroll
  for (int i = 0; i < kEight; ++i) scale[i] = gamma[i] * inv_std[i];
  const bool relu = arguments.mask != nullptr;
  rows.each([&](int32_t slot, int64_t at) {
    Eight<T> v = Rows::get(kept_x + slot);
    const Eight<T> more = residual != nullptr ? Rows::get(kept_residual + slot) : Eight<T>{};
    const uint8_t bits = normalize(v, more, means, scale, beta, relu);
    store_eight<kPacked>(y + at, v, rows.count);
    if (relu) arguments.mask[mask_byte<kPacked>(at, arguments.channels)] = bits;
  });
  if (has_channel) write_moments(arguments, c, mean, variance, shared.inv_std[thread]);
}

template <typename T>
struct Gradients {
  const T* dy;
  const T* more;  // null: nothing
  const T* x;
  T* dx;
  T* dresidual;  // null: not wanted
};

struct BackwardShared {
  alignas(16) float scale[kEight];
  alignas(16) float slope[kEight];
  alignas(16) float shift[kEight];
  float sums[kSmallWarps][2 * kEight];
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kSmallBlock)
    small_backward_kernel(Gradients<T> tensors, BatchnormActBackwardArguments arguments) {
  using Rows = KeptRows<T, kPacked>;
  auto& shared = block_shared<BackwardShared>();
  const Rows rows(arguments.rows, arguments.channels);
  T* const kept_x = dynamic_shared<T>();
  T* const kept_g = kept_x + rows.elements();
  T* const kept_more = kept_g + rows.elements();
  rows.keep(tensors.dy, kept_g);
  rows.keep(tensors.x, kept_x);
  if (tensors.more != nullptr) rows.keep(tensors.more, kept_more);
  const Eight<float> mean = rows.parameter(arguments.mean);
  const auto thread = static_cast<int>(threadIdx.y);
  const bool has_channel = thread < rows.count;  // which it finishes, as the first eight threads do
  const int64_t c = rows.channel + thread;
  const float gamma = has_channel ? arguments.gamma[c] : 0.0f;
  const float inv_std = has_channel ? arguments.inv_std[c] : 0.0f;
  if (thread < kEight) shared.scale[thread] = shared.slope[thread] = shared.shift[thread] = 0.0f;
  uint64_t masks = ~uint64_t{0};  // a byte for each of the thread's rows
  static_assert(kRowsAThread<T> <= 8);
  if (arguments.mask != nullptr) {
    masks = 0;
#pragma unroll
    for (int k = 0; k < kRowsAThread<T>; ++k) {
      const int64_t row = int64_t{threadIdx.y} + k * int64_t{blockDim.y};
      if (row >= rows.rows) break;
      const int64_t at = row * rows.channels + rows.channel;
      masks |= uint64_t{arguments.mask[mask_byte<kPacked>(at, rows.channels)]} << (8 * k);
    }
  }
  wait_copies();

  float sums[2 * kEight] = {};  // of g, then of g (x - mean)
  rows.each([&](int32_t slot, int64_t) {
    Eight<T> g = Rows::get(kept_g + slot);
    const Eight<T> v = Rows::get(kept_x + slot);
    if (tensors.more != nullptr) {
      const Eight<T> more = Rows::get(kept_more + slot);
#pragma unroll
      for (int i = 0; i < kEight; ++i) g.set(i, T(g[i] + more[i]));
    }
    const auto bits = static_cast<unsigned>(masks);
    masks >>= 8;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float passes = passed(g, bits, i);
      g.set(i, T(passes));
      sums[i] += passes;
      sums[kEight + i] = fmaf(passes, v[i] - mean[i], sums[kEight + i]);
    }
    Rows::put(kept_g + slot, g);
  });
  const float sum = block_sums(sums, shared.sums);
  const float product = __shfl_down_sync(kAllLanes, sum, kEight);
  if (has_channel) {
    const InputGradientCoefficients of_channel =
        write_sums(arguments, c, static_cast<double>(sum), static_cast<double>(product), gamma, inv_std);
    shared.scale[thread] = of_channel.scale;
    shared.slope[thread] = of_channel.slope;
    shared.shift[thread] = of_channel.shift;
  }
  __syncthreads();
  const Eight<float> scale = eight_of(shared.scale), slope = eight_of(shared.slope),
                     shift = eight_of(shared.shift);
  rows.each([&](int32_t slot, int64_t at) {
    const Eight<T> g = Rows::get(kept_g + slot);
    Eight<T> v = Rows::get(kept_x + slot);
#pragma unroll
    for (int i = 0; i < kEight; ++i)
      v.set(i, T(fmaf(g[i], scale[i], fmaf(v[i] - mean[i], slope[i], shift[i]))));
    store_eight<kPacked>(tensors.dx + at, v, rows.count);
    if (tensors.dresidual != nullptr) store_eight<kPacked>(tensors.dresidual + at, g, rows.count);
  });
}

int64_t kept_bytes(int64_t rows, ElementType type) {
  return rows * kEight * static_cast<int64_t>(type == ElementType::f32 ? sizeof(float) : sizeof(bf16));
}

/// A block for eight channels, with a thread for each row or as many as there are at most.
LaunchConfig small_launch(int64_t rows, int64_t channels, int64_t shared_bytes, device::Stream stream) {
  unsigned threads = kWarp;
  while (threads < rows && threads < kSmallBlock) threads *= 2;  // mutation: or a few more threads
  return {.grid = {static_cast<unsigned>((channels + kEight - 1) / kEight)},
          .block = {1, threads},
          .shared_bytes = static_cast<size_t>(shared_bytes),
          .stream = stream};
}

}  // namespace

bool batchnorm_act_is_small(int64_t rows, ElementType type) {
  constexpr int64_t kBeside = 4 << 10;  // what else of shared memory a block has
  const int64_t kept = kept_bytes(rows, type);
  return kept <= kKeptBytes &&
         kMostKept * kept + kBeside <= static_cast<int64_t>(device::info().shared_bytes);
}

void launch_batchnorm_act_small_train(const BatchnormActTrainArguments& arguments, device::Stream stream) {
  const int64_t kept = kept_bytes(arguments.rows, arguments.type);
  const bool packed = packed_channels(
      arguments.channels, {arguments.x, arguments.residual, arguments.y, arguments.gamma, arguments.beta});
  dispatch_channels(arguments.type, packed, [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
    launch("batchnorm_act_small_train", small_train_kernel<T, Packed::value>,
           small_launch(arguments.rows, arguments.channels, (arguments.residual != nullptr ? 2 : 1) * kept,
                        stream),
           static_cast<const T*>(arguments.x), static_cast<const T*>(arguments.residual),
           static_cast<T*>(arguments.y), arguments);
  });
}

void launch_batchnorm_act_small_backward(const BatchnormActBackwardArguments& arguments,
                                         device::Stream stream) {
  const int64_t kept = kept_bytes(arguments.rows, arguments.type);
  const bool packed = packed_channels(
      arguments.channels,
      {arguments.dy, arguments.more, arguments.x, arguments.dx, arguments.dresidual, arguments.mean});
  dispatch_channels(arguments.type, packed, [&]<typename T, typename Packed>(ElementTag<T>, Packed) {
    launch(
        "batchnorm_act_small_backward", small_backward_kernel<T, Packed::value>,
        small_launch(arguments.rows, arguments.channels, (arguments.more != nullptr ? 3 : 2) * kept, stream),
        Gradients<T>{static_cast<const T*>(arguments.dy), static_cast<const T*>(arguments.more),
                     static_cast<const T*>(arguments.x), static_cast<T*>(arguments.dx),
                     static_cast<T*>(arguments.dresidual)},
        arguments);
  });
}

}  // namespace cytograd
