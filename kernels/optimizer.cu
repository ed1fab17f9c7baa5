// w, first and second from the gradients: see optimizer.h. Bytes an element with gradients in f32, read and written:
// SGD 12 + 8 (8 + 4 without momentum), AdamW 16 + 12, EMA 8 + 4, norm 4; with gradients in 16 bits 2 less. At 4.3 TB/s,
// 215 (358), 154, 358 and 1,075 billion elements a second.
// An H200 at 632b5f2, in shares of a copy: SGD 0.80, AdamW 0.82, EMA 0.78 of ResNet-50; 0.59, 0.63, 0.69 of ResNet-18.
#include "kernels/elementwise.cuh"
#include "kernels/optimizer.h"

namespace cytograd {
namespace {

constexpr int kStepBlock = 256;
/// Elements of a chunk: enough that finding its term costs little, few enough that the last chunks of a small network
/// still spread over all multiprocessors. A multiple of what a pack holds: chunks of an aligned array are aligned.
constexpr int64_t kStepChunk = 8192;
static_assert(kStepChunk % (kStepBlock * kAccess<bf16>) == 0);

/// The chunk's term: the last whose first chunk is not beyond it. All threads look at once, since one after another of
/// a binary search's loads would take longer than the chunk.
__device__ __forceinline__ StepTerm find_term(const StepTerms& table, int64_t chunk) {
  int64_t last = -1;
  for (int64_t begin = 0; begin < table.count; begin += kStepBlock) {  // mutation: a round more finds nothing
    const int64_t i = begin + threadIdx.x;
    last += __syncthreads_count(i < table.count && table.terms[i].first_chunk <= chunk);
  }
  return table.terms[last];
}

/// update(w, x, first, second) for each element of the chunk, which is of `term`, x of type X.
template <typename X, typename Update>
__device__ __forceinline__ void update_chunk(const StepTerm& term, int64_t chunk, const Update& update) {
  constexpr bool kFirst = Update::kMoments >= 1, kSecond = Update::kMoments >= 2;
  float* const w = in_global(term.w);
  const X* const x = in_global(static_cast<const X*>(term.x));
  float* const first = kFirst ? in_global(term.first) : nullptr;
  float* const second = kSecond ? in_global(term.second) : nullptr;
  const int64_t begin = (chunk - term.first_chunk) * kStepChunk;
  const int64_t end = term.count < begin + kStepChunk ? term.count : begin + kStepChunk;
  constexpr int kCount = kAccess<float>;
  const int64_t packed = term.aligned ? begin + (end - begin) / kCount * kCount : begin;
#pragma unroll 1
  for (int64_t i = begin + threadIdx.x * kCount; i < packed; i += kStepBlock * kCount) {
    float w4[kCount], x4[kCount], first4[kCount], second4[kCount];
    load_values<kCount>(w + i, w4);
    load_values<kCount>(x + i, x4);
    if constexpr (kFirst) load_values<kCount>(first + i, first4);
    if constexpr (kSecond) load_values<kCount>(second + i, second4);
#pragma unroll
    for (int j = 0; j < kCount; ++j) update(w4[j], x4[j], first4[j], second4[j]);
    store_values<kCount>(w + i, w4);
    if constexpr (kFirst) store_values<kCount>(first + i, first4);
    if constexpr (kSecond) store_values<kCount>(second + i, second4);
  }
#pragma unroll 1
  for (int64_t i = packed + threadIdx.x; i < end; i += kStepBlock) {
    float w1 = w[i], first1 = 0.0f, second1 = 0.0f;
    if constexpr (kFirst) first1 = first[i];
    if constexpr (kSecond) second1 = second[i];
    update(w1, static_cast<float>(x[i]), first1, second1);
    w[i] = w1;
    if constexpr (kFirst) first[i] = first1;
    if constexpr (kSecond) second[i] = second1;
  }
}

/// A block a chunk.
template <typename Update>
__global__ void __launch_bounds__(kStepBlock) step_kernel(StepTerms table, Update update) {
  if (!update.read_scalars()) return;
  const int64_t chunk = Update::kLastFirst ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
  const StepTerm term = find_term(table, chunk);
  update.begin(term);
  switch (term.type) {
    case ElementType::f32:
      return update_chunk<float>(term, chunk, update);
    case ElementType::bf16:
      return update_chunk<bf16>(term, chunk, update);
    case ElementType::f16:
      return update_chunk<f16>(term, chunk, update);
  }
}

/// What SGD and AdamW have in common.
struct GradientStep {
  /// Of the gradients, the L2 cache may still have what the norm read last; and weight averaging, which begins with the
  /// first chunks again, finds there what the step wrote last.
  static constexpr bool kLastFirst = true;
  const float* learning_rate_at;
  const float* factor_at;
  float learning_rate = 0.0f, factor = 0.0f;
  float keep = 1.0f;  // of w, before the step

  explicit GradientStep(const StepScalars& scalars)
      : learning_rate_at(scalars.learning_rate), factor_at(scalars.factor) {}

  /// Whether the step is taken.
  __device__ __forceinline__ bool read_scalars() {
    learning_rate = *learning_rate_at;
    factor = *factor_at;
    return factor != 0.0f;
  }
  __device__ __forceinline__ void begin(const StepTerm& term) {
    keep = 1.0f - learning_rate * term.weight_decay;
  }
};

struct PlainSgd : GradientStep {
  static constexpr int kMoments = 0;

  explicit PlainSgd(const SgdArguments& arguments) : GradientStep(arguments.scalars) {}
  __device__ __forceinline__ void operator()(float& w, float dw, float&, float&) const {
    w = w * keep - learning_rate * (dw * factor);
  }
};

struct MomentumSgd : GradientStep {
  static constexpr int kMoments = 1;
  float momentum;
  float from_gradient, from_first;  // their shares of the step

  explicit MomentumSgd(const SgdArguments& arguments)
      : GradientStep(arguments.scalars),
        momentum(arguments.momentum),
        from_gradient(arguments.nesterov ? 1.0f : 0.0f),
        from_first(arguments.nesterov ? arguments.momentum : 1.0f) {}
  __device__ __forceinline__ void operator()(float& w, float dw, float& first, float&) const {
    const float g = dw * factor;
    first = momentum * first + g;
    w = w * keep - learning_rate * (from_gradient * g + from_first * first);
  }
};

struct Adamw : GradientStep {
  static constexpr int kMoments = 2;
  const float* factors_at;
  float beta1, beta2, epsilon;
  float step_size = 0.0f, root_factor = 0.0f;

  explicit Adamw(const AdamwArguments& arguments)
      : GradientStep(arguments.scalars),
        factors_at(arguments.scalars.adamw),
        beta1(arguments.beta1),
        beta2(arguments.beta2),
        epsilon(arguments.epsilon) {}
  __device__ __forceinline__ bool read_scalars() {
    step_size = factors_at[0];
    root_factor = factors_at[1];
    return GradientStep::read_scalars();
  }
  __device__ __forceinline__ void operator()(float& w, float dw, float& first, float& second) const {
    const float g = dw * factor;
    first += (1.0f - beta1) * (g - first);
    second = beta2 * second + (1.0f - beta2) * g * g;
    const float denominator = sqrtf(second) * root_factor + epsilon;
    w = w * keep - step_size * first / denominator;
  }
};

struct Ema {
  static constexpr int kMoments = 0;
  static constexpr bool kLastFirst = false;
  const float* decay_at;
  float decay = 0.0f;

  explicit Ema(const float* decay_address) : decay_at(decay_address) {}
  __device__ __forceinline__ bool read_scalars() {
    decay = *decay_at;
    return true;
  }
  __device__ __forceinline__ void begin(const StepTerm&) {}
  __device__ __forceinline__ void operator()(float& average, float w, float&, float&) const {
    average = decay * average + (1.0f - decay) * w;
  }
};

template <typename Update>
void launch_step(const char* name, const StepTerms& table, const Update& update, device::Stream stream) {
  if (table.chunks == 0) return;
  launch(name, step_kernel<Update>,
         {.grid = {static_cast<unsigned>(table.chunks)}, .block = {kStepBlock}, .stream = stream}, table,
         update);
}

// ---- norm

struct NormShared {
  double of_warp[kStepBlock / kWarp];
};

template <typename X>
__device__ __forceinline__ double squares_of_block(const StepTerm& term) {
  const X* const x = in_global(static_cast<const X*>(term.x));
  const int64_t begin = (blockIdx.x - term.first_chunk) * kStepChunk;
  const int64_t end = term.count < begin + kStepChunk ? term.count : begin + kStepChunk;
  constexpr int kCount = kAccess<X>;
  const int64_t packed = term.aligned ? begin + (end - begin) / kCount * kCount : begin;
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x * kCount; i < packed; i += kStepBlock * kCount) {
    float v[kCount];
    load_values<kCount>(x + i, v);
#pragma unroll
    for (int j = 0; j < kCount; ++j) sum += static_cast<double>(v[j]) * static_cast<double>(v[j]);
  }
#pragma unroll 1
  for (int64_t i = packed + threadIdx.x; i < end; i += kStepBlock) {
    const auto v = static_cast<double>(static_cast<float>(x[i]));
    sum += v * v;
  }
  return sum;
}

__global__ void __launch_bounds__(kStepBlock) squares_kernel(StepTerms table, double* sums) {
  const StepTerm term = find_term(table, blockIdx.x);
  double sum = 0.0;
  switch (term.type) {
    case ElementType::f32:
      sum = squares_of_block<float>(term);
      break;
    case ElementType::bf16:
      sum = squares_of_block<bf16>(term);
      break;
    case ElementType::f16:
      sum = squares_of_block<f16>(term);
      break;
  }
  sum = block_sum(sum, block_shared<NormShared>().of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// One block.
__global__ void __launch_bounds__(kStepBlock)
    begin_step_kernel(const double* sums, int64_t chunks, StepScalars scalars, StepRules rules) {
  double square = 0.0;
  for (int64_t i = threadIdx.x; i < chunks; i += kStepBlock) square += sums[i];
  square = block_sum(square, block_shared<NormShared>().of_warp);
  if (threadIdx.x == 0) begin_step(scalars, square, rules);
}

}  // namespace

int64_t number_chunks(StepTerm* terms, int64_t count) {
  int64_t chunks = 0;
  for (StepTerm* term = terms; term < terms + count; ++term) {
    term->first_chunk = chunks;
    term->aligned =
        aligned16(term->w) && aligned16(term->x) && aligned16(term->first) && aligned16(term->second);
    chunks += (term->count + kStepChunk - 1) / kStepChunk;
  }
  return chunks;
}

void launch_sgd(const SgdArguments& arguments, device::Stream stream) {
  if (arguments.momentum == 0.0f) {
    launch_step("sgd", arguments.table, PlainSgd(arguments), stream);
  } else {
    launch_step("sgd_momentum", arguments.table, MomentumSgd(arguments), stream);
  }
}

void launch_adamw(const AdamwArguments& arguments, device::Stream stream) {
  launch_step("adamw", arguments.table, Adamw(arguments), stream);
}

void launch_ema(const StepTerms& table, const float* decay, device::Stream stream) {
  launch_step("ema", table, Ema(decay), stream);
}

void launch_begin_step(const BeginStepArguments& arguments, device::Stream stream) {
  const StepTerms& table = arguments.table;
  if (table.chunks > 0) {
    launch("gradient_squares", squares_kernel,
           {.grid = {static_cast<unsigned>(table.chunks)}, .block = {kStepBlock}, .stream = stream}, table,
           arguments.sums);
  }
  launch("begin_step", begin_step_kernel, {.grid = {1}, .block = {kStepBlock}, .stream = stream},
         arguments.sums, table.chunks, arguments.scalars, arguments.rules);
}

}  // namespace cytograd
