// The emulator runs right kernels as a GPU does, and catches what a GPU would let pass: each kind of mistake, by the
// kernel's name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "kernels/device.cuh"

namespace cytograd {
namespace {

using emulator::Fault;
using emulator::Order;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Device memory as the engine's pool hands it out.
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count), memory_(device::device_memory().allocate(reserved())) {
    device::taken(memory_, count * sizeof(T), reserved(), nullptr, device::PoolOf::all_work);
  }
  Buffer(const std::vector<T>& values) : Buffer(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    device::given_back(memory_, reserved(), nullptr, device::PoolOf::all_work);
    device::device_memory().deallocate(memory_, reserved());
  }
  T* data() const { return static_cast<T*>(memory_); }
  std::vector<T> values() const { return {data(), data() + count_}; }

 private:
  size_t reserved() const { return count_ * sizeof(T) + 64; }

  size_t count_;
  void* memory_;
};

class Emulator : public testing::Test {
 protected:
  void SetUp() override { emulator::set_checking(true); }
  void TearDown() override {
    emulator::set_checking(false);
    emulator::set_schedule({});
  }
};

std::vector<float> numbers(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

// ---- right kernels

struct SumScratch {
  float of_warp[32];
};

__global__ void block_sums(const float* x, float* sums, int64_t count) {
  float sum = 0.0f;
  for (int64_t i = global_thread(); i < count; i += grid_threads()) sum += x[i];
  sum = block_sum(sum, block_shared<SumScratch>().of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// Runs `body` once for each schedule.
template <typename Body>
void under_all_schedules(const Body& body) {
  for (const emulator::Schedule& schedule :
       {emulator::Schedule{Order::forward, 0}, {Order::reverse, 0}, {Order::random, 1}, {Order::random, 2}}) {
    emulator::set_schedule(schedule);
    body();
  }
}

TEST_F(Emulator, RunsBarriersAndShufflesAsAGpu) {
  const Buffer<float> x(numbers(1000));
  under_all_schedules([&] {
    const Buffer<float> sums(3);
    launch("block_sums", block_sums, {.grid = {3}, .block = {96}}, x.data(), sums.data(), 1000);
    const auto values = sums.values();
    EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0.0f), 500500.0f);
  });
}

/// Without a barrier between: a warp that runs ahead writes its second sum where another reads the first.
__global__ void hasty_sums(float* out) {
  float* scratch = block_shared<SumScratch>().of_warp;
  const float first = block_sum(1.0f, scratch);
  const float second = block_sum(2.0f, scratch);
  out[threadIdx.x] = first + second;
}

TEST_F(Emulator, AWarpRunsAheadOfOthersThroughItsShuffles) {
  for (const Order order : {Order::forward, Order::reverse}) {
    emulator::set_schedule({order, 0});
    const Buffer<float> out(96);
    launch("hasty_sums", hasty_sums, {.grid = {1}, .block = {96}}, out.data());
    EXPECT_NE(out.values(), std::vector<float>(96, 288.0f));
  }
}

__global__ void indices(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<int>(block * 1000 + thread);
}

TEST_F(Emulator, EveryThreadOfEveryBlockRunsOnce) {
  under_all_schedules([&] {
    const Buffer<int> out(std::vector<int>(2 * 3 * 2 * 24));
    launch("indices", indices, {.grid = {2, 3, 2}, .block = {4, 3, 2}}, out.data());
    const auto values = out.values();
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<int>(i / 24 * 1000 + i % 24));
  });
}

__global__ void votes(unsigned* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const unsigned odd = __ballot_sync(kAllLanes, lane % 2);
  const int down = __shfl_down_sync(kAllLanes, lane, 3);
  const int count = __syncthreads_count(lane == 5);
  if (lane == 30) {
    out[0] = odd;
    out[1] = static_cast<unsigned>(down);  // past the warp: its own
    out[2] = static_cast<unsigned>(count);
    out[3] = static_cast<unsigned>(__any_sync(1u << 30, 0));
  }
  if (lane == 4) out[4] = static_cast<unsigned>(down);
}

TEST_F(Emulator, VotesAndShufflesAnswerAsAGpu) {
  const Buffer<unsigned> out(5);
  launch("votes", votes, {.grid = {1}, .block = {64}}, out.data());
  EXPECT_THAT(out.values(), testing::ElementsAre(0xaaaaaaaau, 30, 2, 0, 7));
}

__global__ void bytes(unsigned* out, unsigned long long* total) {
  out[0] = __byte_perm(0x33221100u, 0x77665544u, 0x7250u);
  out[1] = __byte_perm(0x33221100u, 0x77665544u, 0xf123u);  // three bits of each digit count
  out[2] = __dp4a(0xff020304u, 0xff060708u, 10u);
  atomicAdd(total, 1ull << 40);
}

TEST_F(Emulator, BytesAndSumsOf64Bits) {
  const Buffer<unsigned> out(3);
  const Buffer<unsigned long long> total(std::vector<unsigned long long>{7});
  launch("bytes", bytes, {.grid = {3}, .block = {1}}, out.data(), total.data());
  EXPECT_THAT(out.values(),
              testing::ElementsAre(0x77225500u, 0x77112233u, 255 * 255 + 2 * 6 + 3 * 7 + 4 * 8 + 10));
  EXPECT_EQ(total.values()[0], (3ull << 40) + 7);
}

__global__ void towards_zero(float* out) {
  const float lift = 8388608.0f;  // 2^23
  out[0] = __fmaf_rz(0.5f, 3.0f, lift) - lift;
  out[1] = __fmaf_rz(0.99999994f, 2.0f, lift + 5.0f) - lift;  // 1.9999999
  out[2] = __fmaf_rz(1.0f, 2.0f, lift) - lift;
  out[3] = __fmaf_rz(-0.5f, 3.0f, -lift) + lift;
  out[4] = __fmaf_rz(0x1p-60f, 0x1p-60f, -1.0f);  // just above -1, where the sum in f64 is -1
  out[5] = __fmaf_rz(0x1p-60f, -0x1p-60f, 1.0f);
  out[6] = __fmaf_rz(0x1p-60f, 0x1p-60f, 1.0f);
  out[7] = __fmaf_rz(3e38f, 2.0f, 0.0f);
  out[8] = __saturatef(-0.5f);
  out[9] = __saturatef(0.25f);
  out[10] = __saturatef(1.5f);
  out[11] = __saturatef(std::nanf(""));
}

TEST_F(Emulator, RoundsTowardsZeroAndSaturates) {
  const Buffer<float> out(12);
  launch("towards_zero", towards_zero, {.grid = {1}, .block = {1}}, out.data());
  EXPECT_THAT(out.values(), testing::ElementsAre(1.0f, 6.0f, 2.0f, -1.0f, -0.99999994f, 0.99999994f, 1.0f,
                                                 std::numeric_limits<float>::max(), 0.0f, 0.25f, 1.0f, 0.0f));
}

struct Scratch {
  float v[64];
};

__global__ void dynamic_reversed(const float* x, float* y) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST_F(Emulator, DynamicSharedMemory) {
  const Buffer<float> x(numbers(64)), y(64);
  under_all_schedules([&] {
    launch("dynamic_reversed", dynamic_reversed, {.grid = {1}, .block = {64}, .shared_bytes = 256}, x.data(),
           y.data());
    for (size_t i = 0; i < 64; ++i) ASSERT_EQ(y.values()[i], 64.0f - static_cast<float>(i));
  });
}

// ---- wrong kernels

TEST_F(Emulator, MoreSharedMemoryThanABlockHas) {
  const Buffer<float> x(numbers(64)), y(64);
  const auto ask_for = [&](size_t bytes) {
    launch("dynamic_reversed", dynamic_reversed, {.grid = {1}, .block = {64}, .shared_bytes = bytes},
           x.data(), y.data());
  };
  EXPECT_NO_THROW(ask_for(227 << 10));
  EXPECT_THAT([&] { ask_for((227 << 10) + 1); },
              ThrowsMessage<Fault>(AllOf(HasSubstr("kernel dynamic_reversed"), HasSubstr("shared memory"))));
}

__global__ void both_kinds_of_shared(float* y) {
  y[threadIdx.x] = block_shared<Scratch>().v[0] = *dynamic_shared<float>() = 1.0f;
}

TEST_F(Emulator, FixedAndDynamicSharedMemoryShareABlocks) {
  const Buffer<float> y(64);
  EXPECT_THAT(
      [&] {
        launch("both_kinds_of_shared", both_kinds_of_shared,
               {.grid = {1}, .block = {1}, .shared_bytes = 227 << 10}, y.data());
      },
      ThrowsMessage<Fault>(HasSubstr("256 bytes of shared memory")));
}

__global__ void missing_barrier(const float* x, float* y) {
  Scratch& scratch = block_shared<Scratch>();
  scratch.v[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = scratch.v[(threadIdx.x + 1) % blockDim.x];  // its neighbour may not have written yet
}

TEST_F(Emulator, AMissingBarrierReadsWhatNothingWrote) {
  const Buffer<float> x(numbers(64)), y(64);
  under_all_schedules([&] {
    EXPECT_THAT(
        [&] { launch("missing_barrier", missing_barrier, {.grid = {1}, .block = {64}}, x.data(), y.data()); },
        ThrowsMessage<Fault>(AllOf(HasSubstr("kernel missing_barrier"), HasSubstr("shared memory"))));
  });
}

__global__ void missing_second_barrier(const float* x, float* y) {
  Scratch& scratch = block_shared<Scratch>();
  for (unsigned round = 0; round < 2; ++round) {
    scratch.v[threadIdx.x] = x[round * blockDim.x + threadIdx.x];
    __syncthreads();
    y[round * blockDim.x + threadIdx.x] = scratch.v[blockDim.x - 1 - threadIdx.x];
    // Without a barrier here the next round overwrites what others still have to read.
  }
}

TEST_F(Emulator, AMissingBarrierBeforeReuseChangesTheResult) {
  const Buffer<float> x(numbers(128)), y(128);
  std::vector<float> right;
  for (int i = 0; i < 128; ++i) right.push_back(static_cast<float>(64 * (i / 64) + 64 - i % 64));
  under_all_schedules([&] {
    launch("missing_second_barrier", missing_second_barrier, {.grid = {1}, .block = {64}}, x.data(),
           y.data());
    EXPECT_NE(y.values(), right);
  });
}

__global__ void reads_unwritten(const float* x, float* y) { y[threadIdx.x] = 2.0f * x[threadIdx.x] + 1.0f; }
__global__ void reads_unwritten_half(const bf16* x, bf16* y) {
  y[threadIdx.x] = bf16(2.0f * static_cast<float>(x[threadIdx.x]));
}

TEST_F(Emulator, ReadingMemoryThatNothingWroteIsCaught) {
  const Buffer<float> x(8), y(8);
  EXPECT_THAT(
      [&] { launch("reads_unwritten", reads_unwritten, {.grid = {1}, .block = {8}}, x.data(), y.data()); },
      ThrowsMessage<Fault>(AllOf(HasSubstr("kernel reads_unwritten"), HasSubstr("device memory"))));
  const Buffer<bf16> u(8), v(8);
  EXPECT_THAT(
      [&] {
        launch("reads_unwritten_half", reads_unwritten_half, {.grid = {1}, .block = {8}}, u.data(), v.data());
      },
      ThrowsMessage<Fault>(HasSubstr("kernel reads_unwritten_half")));
}

__global__ void writes_past_the_end(float* y) { y[threadIdx.x] = 1.0f; }

__global__ void sum_bytes(const uint8_t* x, unsigned* sum) {
  for (int i = 0; i < 8; ++i) sum[0] = (i == 0 ? 0 : sum[0]) + x[i];
}

// Bright pixels of an image are no NaN of memory that nothing wrote; what a kernel writes there still may be.
TEST_F(Emulator, BytesOfTheHostMayLookLikeFreshMemory) {
  for (unsigned kind = 0; kind < 16; ++kind) {
    const unsigned word = 0x7ff07ff0u | kind | kind << 16;
    const Buffer<unsigned> x(2), sum(1);
    const std::vector<unsigned> pixels{1, word};
    device::copy(x.data(), pixels.data(), 8, nullptr);
    const auto* bytes = reinterpret_cast<const uint8_t*>(x.data());
    launch("sum_bytes", sum_bytes, {.grid = {1}, .block = {1}}, bytes, sum.data());
    EXPECT_EQ(sum.values()[0], 1 + 2 * (0x7f + (0xf0 | kind)));
  }
  const Buffer<float> fresh(8), y(8);
  const std::vector<float> ones(8, 1.0f);
  device::copy(y.data(), ones.data(), 32, nullptr);
  EXPECT_THROW(
      launch("reads_unwritten", reads_unwritten, {.grid = {1}, .block = {8}}, fresh.data(), y.data()), Fault);
}

TEST_F(Emulator, AnIndexOutOfRangeIsCaught) {
  const Buffer<float> y(31);
  const auto run = [&] {
    launch("writes_past_the_end", writes_past_the_end, {.grid = {1}, .block = {32}}, y.data());
  };
#ifdef __SANITIZE_ADDRESS__
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run(), "in kernel writes_past_the_end, block 0, thread 31");
#else
  EXPECT_THAT(run, ThrowsMessage<Fault>(HasSubstr("kernel writes_past_the_end wrote 0 bytes past the end")));
  y.data()[31] = std::bit_cast<float>(0xa5a5a5a5u);
#endif
}

__global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 40) __syncthreads();
  y[threadIdx.x] = 1.0f;
}
__global__ void two_barriers(float* y) {
  if (threadIdx.x < 40) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1.0f;
}

TEST_F(Emulator, ADivergentBarrierIsCaught) {
  const Buffer<float> y(64);
  under_all_schedules([&] {
    EXPECT_THAT(
        [&] { launch("divergent_barrier", divergent_barrier, {.grid = {2}, .block = {64}}, y.data()); },
        ThrowsMessage<Fault>(AllOf(HasSubstr("kernel divergent_barrier, block "),
                                   HasSubstr("divergent barrier: thread 0 waits at"),
                                   HasSubstr("thread 40 has ended"))));
    EXPECT_THAT(
        [&] { launch("two_barriers", two_barriers, {.grid = {1}, .block = {64}}, y.data()); },
        ThrowsMessage<Fault>(AllOf(HasSubstr("kernel two_barriers"), HasSubstr("thread 40 waits at"))));
  });
  // Nothing is left of the stuck threads.
  launch("indices", writes_past_the_end, {.grid = {1}, .block = {64}}, y.data());
}

__global__ void divergent_shuffle(float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x != 7) v = __shfl_xor_sync(kAllLanes, v, 1);
  y[threadIdx.x] = v;
}
__global__ void shuffle_outside(float* y) {
  y[threadIdx.x] = __shfl_sync(kAllLanes, static_cast<float>(threadIdx.x), static_cast<int>(threadIdx.x) + 1);
}
__global__ void shuffle_unmasked(float* y) {
  y[threadIdx.x] = 0.0f;
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 16);
}
__global__ void shuffle_short_warp(float* y) {
  y[threadIdx.x] = __shfl_xor_sync(kAllLanes, static_cast<float>(threadIdx.x), 16);
}

TEST_F(Emulator, WarpOperationsThatNotAllLanesReachAreCaught) {
  const Buffer<float> y(32);
  const auto run = [&](const char* name, void (*kernel)(float*), unsigned threads) {
    return [&y, name, kernel, threads] { launch(name, kernel, {.grid = {1}, .block = {threads}}, y.data()); };
  };
  under_all_schedules([&] {
    EXPECT_THAT(
        run("divergent_shuffle", divergent_shuffle, 32),
        ThrowsMessage<Fault>(AllOf(HasSubstr("kernel divergent_shuffle"), HasSubstr("thread 7 has ended"))));
    EXPECT_THAT(run("shuffle_outside", shuffle_outside, 32),
                ThrowsMessage<Fault>(AllOf(HasSubstr("kernel shuffle_outside, block 0, thread 31"),
                                           HasSubstr("lane 32, which is out of range"))));
    EXPECT_THAT(run("shuffle_unmasked", shuffle_unmasked, 32),
                ThrowsMessage<Fault>(AllOf(HasSubstr("kernel shuffle_unmasked"), HasSubstr("from lane 16"))));
    EXPECT_THAT(
        run("shuffle_short_warp", shuffle_short_warp, 24),
        ThrowsMessage<Fault>(AllOf(HasSubstr("kernel shuffle_short_warp"), HasSubstr("warp of 24 threads"))));
  });
}

TEST_F(Emulator, LaunchesThatNoGpuTakesAreRefused) {
  const Buffer<float> y(1);
  for (const dim3 block : {dim3{0}, dim3{1025}, dim3{32, 33}}) {
    EXPECT_THAT([&] { launch("too_large", writes_past_the_end, {.grid = {1}, .block = block}, y.data()); },
                ThrowsMessage<Fault>(HasSubstr("kernel too_large: a grid of (1, 1, 1)")));
  }
  EXPECT_THROW(launch("empty", writes_past_the_end, {.grid = {0}, .block = {32}}, y.data()), Fault);
}

// ---- streams

class LateStreams : public testing::Test {
 protected:
  void TearDown() override { emulator::set_late(emulator::Late::none); }
  /// Pinned, so that copies of it wait in their stream.
  template <typename T>
  static std::shared_ptr<T[]> pinned(size_t count) {
    const size_t bytes = count * sizeof(T);
    return {static_cast<T*>(device::pinned_memory().allocate(bytes)),
            [=](T* p) { device::pinned_memory().deallocate(p, bytes); }};
  }
};

TEST_F(LateStreams, DoTheirWorkWhereItIsWaitedFor) {
  const device::StreamHandle stream;
  const auto x = pinned<int>(1), y = pinned<int>(1);
  for (const emulator::Late late : {emulator::Late::none, emulator::Late::all}) {
    emulator::set_late(late);
    x[0] = 1, y[0] = 0;
    device::copy(y.get(), x.get(), sizeof(int), stream.get());
    EXPECT_EQ(y[0], late == emulator::Late::none ? 1 : 0);
    x[0] = 2;  // too early
    device::synchronize(stream.get());
    EXPECT_EQ(y[0], late == emulator::Late::none ? 1 : 2);
  }
}

TEST_F(LateStreams, PageableMemoryIsTheHostsAgainOnReturn) {
  emulator::set_late(emulator::Late::all);
  const device::StreamHandle stream;
  const auto x = pinned<int>(1);
  int source = 1, result = 0;
  x[0] = 0;
  device::copy(x.get(), &source, sizeof(int), stream.get());
  EXPECT_EQ(x[0], 0);
  source = 2;
  device::copy(&result, x.get(), sizeof(int), stream.get());
  EXPECT_EQ(result, 1);
}

TEST_F(LateStreams, EventsHoldOthersAndTheHost) {
  const device::StreamHandle first, second;
  const auto x = pinned<int>(4);
  const auto copy = [&](int to, int from, device::Stream stream) {
    device::copy(&x[to], &x[from], sizeof(int), stream);
  };
  for (const emulator::Late late : {emulator::Late::all, emulator::Late::even, emulator::Late::odd}) {
    emulator::set_late(late);
    for (int i = 0; i < 4; ++i) x[i] = i;
    device::Event copied;
    EXPECT_TRUE(copied.passed()) << "recorded nowhere yet";
    copied.wait();
    copy(1, 0, first.get());
    copied.record(first.get());
    copy(3, 2, first.get());
    copied.hold(second.get());
    copy(2, 1, second.get());
    device::Event last;
    last.record(second.get());
    last.wait();
    EXPECT_EQ(x[2], 0) << "copied after its source was";
    EXPECT_EQ(x[3], emulator::is_late(first.get()) ? 3 : 2) << "not waited for";
    copied.record(first.get());
    while (!copied.passed()) continue;
    EXPECT_EQ(x[3], emulator::is_late(first.get()) ? 0 : 2);
  }
}

TEST_F(LateStreams, OneOfTwoIsAhead) {
  const device::StreamHandle first, second;
  emulator::set_late(emulator::Late::even);
  const bool is_first_late = emulator::is_late(first.get());
  EXPECT_NE(emulator::is_late(second.get()), is_first_late);
  emulator::set_late(emulator::Late::odd);
  EXPECT_NE(emulator::is_late(first.get()), is_first_late);
  EXPECT_FALSE(emulator::is_late(nullptr));
}

TEST_F(LateStreams, TheirFaultsComeFromWhoWaits) {
  emulator::set_late(emulator::Late::all);
  const device::StreamHandle stream;
  const Buffer<float> y(1);
  launch("too_large", writes_past_the_end, {.grid = {1}, .block = {2048}, .stream = stream.get()}, y.data());
  EXPECT_THAT([&] { device::synchronize(stream.get()); },
              ThrowsMessage<Fault>(HasSubstr("kernel too_large")));
  device::synchronize(stream.get());
}

TEST_F(LateStreams, CapturedWorkIsDoneAtItsLaunches) {
  const device::StreamHandle stream, other;
  emulator::set_late(emulator::Late::all);
  const auto x = pinned<int>(3);
  x[0] = 1, x[1] = 0, x[2] = 0;
  const device::Graph graph(stream.get(), [&] {
    device::copy(&x[1], &x[0], sizeof(int), stream.get());
    device::copy(&x[2], &x[0], sizeof(int), other.get());  // of no captured stream
    device::synchronize(other.get());
    EXPECT_THROW(device::synchronize(stream.get()), std::runtime_error);
  });
  EXPECT_EQ(x[2], 1);
  device::synchronize(stream.get());
  EXPECT_EQ(x[1], 0);
  graph.launch(stream.get());
  EXPECT_EQ(x[1], 0);
  device::synchronize(stream.get());
  EXPECT_EQ(x[1], 1);
}

}  // namespace
}  // namespace cytograd
