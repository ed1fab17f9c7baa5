// Tensors: shapes, handles and copies, the memory behind them, and the element types.
#include "engine/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/backend.h"
#include "engine/cpu_info.h"

namespace cytograd {
namespace {

TEST(Shape, CountsItsElements) {
  EXPECT_EQ(Shape({2, 3, 4}).elements(), 24);
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape().rank(), 0u);
  EXPECT_EQ(Shape({2, 0, 4}).elements(), 0);
  EXPECT_EQ(to_string(Shape{2, 3}), "[2, 3]");
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({2, 3, 1}));
}

TEST(Shape, RefusesWhatIsNoShape) {
  EXPECT_THROW(Shape({1, -1}), CheckError);
  EXPECT_THROW(Shape({1, 1, 1, 1, 1, 1}), CheckError);
  EXPECT_THROW((void)Shape({1, 2})[2], CheckError);
}

TEST(Tensor, HoldsWhatItIsMadeFrom) {
  const Tensor t = Tensor::from(std::vector<int64_t>{1, -2, 3, 4, 5, 6}, {2, 3});
  EXPECT_TRUE(t.defined());
  EXPECT_FALSE(Tensor().defined());
  EXPECT_EQ(t.shape(), Shape({2, 3}));
  EXPECT_EQ(t.dim(1), 3);
  EXPECT_EQ(t.dtype(), DType::i64);
  EXPECT_EQ(t.bytes(), 48u);
  EXPECT_EQ(t.to_vector<int64_t>(), (std::vector<int64_t>{1, -2, 3, 4, 5, 6}));
  EXPECT_THROW(Tensor::from(std::vector<float>{1, 2}, {3}), CheckError);
}

TEST(Tensor, TypedAccessChecksTheType) {
  Tensor t = Tensor::zeros({2});
  EXPECT_THROW((void)t.data<bf16>(), CheckError);
  EXPECT_THROW((void)t.to_vector<int64_t>(), CheckError);
  EXPECT_THROW((void)Tensor::zeros({}, DType::bf16).item(), CheckError);
  EXPECT_THROW((void)t.item(), CheckError);
  EXPECT_EQ(Tensor::full({1, 1}, 2.5f).item(), 2.5f);
}

TEST(Tensor, FillsEveryType) {
  const auto filled = []<typename T>(TypeTag<T>) {
    for (const T v : Tensor::full({3, 7}, 5.0f, DTypeOf<T>::value).template to_vector<T>())
      EXPECT_EQ(static_cast<float>(v), 5.0f) << dtype_name(DTypeOf<T>::value);
  };
  filled(TypeTag<uint8_t>{});
  filled(TypeTag<int32_t>{});
  filled(TypeTag<int64_t>{});
  filled(TypeTag<float>{});
  filled(TypeTag<bf16>{});
  filled(TypeTag<f16>{});
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  Tensor t = Tensor::zeros({3});
  Tensor handle = t;
  const Tensor clone = t.clone();
  const Tensor view = t.reshape({3, 1});
  handle.data<float>()[1] = 7.0f;
  EXPECT_EQ(t.to_vector<float>()[1], 7.0f);
  EXPECT_EQ(view.to_vector<float>()[1], 7.0f);
  EXPECT_EQ(clone.to_vector<float>()[1], 0.0f);
  EXPECT_EQ(t.to(Device::cpu).raw(), t.raw());
}

TEST(Tensor, ReshapeKeepsTheElements) {
  const Tensor t = Tensor::zeros({2, 6});
  EXPECT_EQ(t.reshape({3, 2, 2}).shape(), Shape({3, 2, 2}));
  EXPECT_EQ(t.shape(), Shape({2, 6}));
  EXPECT_THROW(t.reshape({5}), CheckError);
}

TEST(Tensor, CopyFromNeedsTheSameShapeAndType) {
  Tensor t = Tensor::zeros({2, 3});
  const void* storage = t.raw();
  t.copy_from(Tensor::full({2, 3}, 4.0f));
  EXPECT_EQ(t.to_vector<float>(), std::vector<float>(6, 4.0f));
  EXPECT_EQ(t.raw(), storage);
  EXPECT_THROW(t.copy_from(Tensor::zeros({3, 2})), CheckError);
  EXPECT_THROW(t.copy_from(Tensor::zeros({2, 3}, DType::bf16)), CheckError);
}

// Copies of more than the caches hold go past them, in lines of 64 bytes with a rest.
TEST(Tensor, CopiesOfAnySizeAndAlignmentAreWhole) {
  for (const int64_t large : {int64_t{0}, cpu_info().last_level_cache}) {
    for (const int64_t more : {1, 15, 16, 63, 64, 65, 127, 1000}) {
      const int64_t count = large + more;
      std::vector<uint8_t> values(static_cast<size_t>(count) + 1), back(values.size(), 0xAB);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint8_t>(i % 251);
      Tensor t = Tensor::empty({count}, DType::u8);
      backend(Device::cpu).copy_from_host(t, values.data() + 1);
      backend(Device::cpu).copy_to_host(t.clone(), back.data() + 1);
      EXPECT_TRUE(std::equal(values.begin() + 1, values.end(), back.begin() + 1)) << count;
      EXPECT_EQ(back[0], 0xAB);
    }
  }
}

TEST(Tensor, EmptyTensorsAreLegal) {
  const Tensor t = Tensor::zeros({0, 5});
  EXPECT_EQ(t.bytes(), 0u);
  EXPECT_TRUE(t.to_vector<float>().empty());
  EXPECT_TRUE(t.clone().to_vector<float>().empty());
}

TEST(Pool, ServesASizeFreedBeforeWithoutTheSystem) {
  BufferPool& pool = backend(Device::cpu).pool();
  { const Tensor warm = Tensor::empty({1000, 37}); }
  const PoolStatistics before = pool.statistics();
  for (int i = 0; i < 10; ++i) {
    const Tensor t = Tensor::empty({37000 - i});  // of one size class
    EXPECT_GT(pool.statistics().bytes_in_use, before.bytes_in_use);
  }
  const PoolStatistics after = pool.statistics();
  EXPECT_EQ(after.system_allocations, before.system_allocations);
  EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
}

TEST(Pool, AlignsAndWastesLittle) {
  BufferPool pool(host_memory());
  for (const size_t bytes : {size_t{1}, size_t{513}, size_t{100'003}, (size_t{3} << 20) + 1}) {
    const size_t in_use = pool.statistics().bytes_in_use;
    void* pointer = pool.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pointer) % BufferPool::kAlignment, 0u);
    const size_t taken = pool.statistics().bytes_in_use - in_use;
    EXPECT_GE(taken, bytes);
    // Steps of an eighth of a power of two; small ones take 512.
    EXPECT_LE(taken, std::max(size_t{512}, bytes + bytes / 8 + 1));
    pool.deallocate(pointer, bytes);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
  EXPECT_GT(pool.statistics().bytes_reserved, 0u);
  pool.trim();
  EXPECT_EQ(pool.statistics().bytes_reserved, 0u);
}

TEST(Pool, RemembersItsPeak) {
  BufferPool pool(host_memory());
  void* a = pool.allocate(1 << 20);
  void* b = pool.allocate(1 << 20);
  pool.deallocate(a, 1 << 20);
  EXPECT_EQ(pool.statistics().peak_bytes_in_use, size_t{2} << 20);
  pool.reset_peak();
  EXPECT_EQ(pool.statistics().peak_bytes_in_use, size_t{1} << 20);
  pool.deallocate(b, 1 << 20);
}

TEST(Pool, ALargerBufferServesWhereThereIsNone) {
  BufferPool pool(host_memory());
  void* const large = pool.allocate(1 << 20);
  pool.deallocate(large, 1 << 20);
  void* const smaller = pool.allocate(600 << 10);
  EXPECT_EQ(smaller, large);
  EXPECT_EQ(pool.statistics().bytes_in_use, 640u << 10) << "as if it were of its own size";
  pool.deallocate(smaller, 600 << 10);
  EXPECT_EQ(pool.allocate(1 << 20), large) << "and it goes back as large as it is";
  pool.deallocate(large, 1 << 20);
  void* const less_than_half = pool.allocate(400 << 10);
  EXPECT_NE(less_than_half, large);
  pool.deallocate(less_than_half, 400 << 10);
  EXPECT_EQ(pool.statistics().system_allocations, 2);
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

/// Host memory, and no more than `most` bytes of it at once.
class LittleMemory final : public std::pmr::memory_resource {
 public:
  explicit LittleMemory(size_t most) : left_(most) {}

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    if (bytes > left_) fail("out of memory");
    left_ -= bytes;
    return host_memory().allocate(bytes, alignment);
  }
  void do_deallocate(void* pointer, size_t bytes, size_t alignment) override {
    left_ += bytes;
    host_memory().deallocate(pointer, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  size_t left_;
};

TEST(Pool, GivesBackWhatItCachesWhereMemoryIsExhausted) {
  LittleMemory memory(5 << 20);
  BufferPool pool(memory);
  void* const kept = pool.allocate(1 << 20);
  void* const freed = pool.allocate(3 << 20);
  pool.deallocate(freed, 3 << 20);
  void* const larger = pool.allocate(4 << 20);
  EXPECT_EQ(pool.statistics().bytes_reserved, size_t{5} << 20);
  EXPECT_THROW(pool.allocate(1), Error);
  EXPECT_EQ(pool.statistics().bytes_in_use, size_t{5} << 20);
  pool.deallocate(larger, 4 << 20);
  pool.deallocate(kept, 1 << 20);
  void* const all = pool.allocate(5 << 20);
  pool.deallocate(all, 5 << 20);
}

TEST(Pool, ThatMayNotGiveBackTakesFromItsSpareAndThenWhatThereIs) {
  LittleMemory memory(8 << 20);
  BufferPool spare(memory), pool(memory);
  pool.set_spare(&spare);
  void* const cached = pool.allocate(4 << 20);
  pool.deallocate(cached, 4 << 20);
  spare.deallocate(spare.allocate(3 << 20), 3 << 20);
  void* const small = pool.allocate(1900 << 10);  // not half of what is cached
  EXPECT_EQ(spare.statistics().bytes_reserved, 0u);
  EXPECT_NE(small, cached);
  void* const other = spare.allocate(2 << 20);
  EXPECT_EQ(pool.allocate(1 << 20), cached) << "there is nothing else";
  EXPECT_THROW(pool.allocate(1 << 20), Error);
  pool.deallocate(cached, 1 << 20);
  EXPECT_EQ(pool.allocate(4 << 20), cached);
  pool.deallocate(cached, 4 << 20);
  pool.deallocate(small, 1900 << 10);
  spare.deallocate(other, 2 << 20);
}

TEST(DType, NamesAndSizes) {
  for (const DType dtype : {DType::u8, DType::i32, DType::i64, DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::i64), 8u);
  EXPECT_THROW(parse_dtype("f64"), Error);
  EXPECT_THROW(dispatch_float(DType::u8, [](auto) {}), Error);
}

// The value of half-precision bits by the definition of IEEE 754, in f64.
template <typename T>
double defined_value(uint16_t bits) {
  constexpr int kMantissa = std::is_same_v<T, bf16> ? 7 : 10;
  constexpr int kExponent = 15 - kMantissa;
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  const int exponent = (bits >> kMantissa) & ((1 << kExponent) - 1);
  const int mantissa = bits & ((1 << kMantissa) - 1);
  double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - kBias - kMantissa)
                                   : std::ldexp(mantissa + (1 << kMantissa), exponent - kBias - kMantissa);
  if (exponent == (1 << kExponent) - 1)
    magnitude = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::nan("");
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

template <typename T>
class HalfPrecision : public testing::Test {};
using HalfTypes = testing::Types<bf16, f16>;
TYPED_TEST_SUITE(HalfPrecision, HalfTypes);

TYPED_TEST(HalfPrecision, All65536HaveTheirDefinedValueAndComeBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    TypeParam half;
    half.bits = static_cast<uint16_t>(i);
    const auto value = static_cast<float>(half);
    const double defined = defined_value<TypeParam>(half.bits);
    if (std::isnan(defined)) {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_TRUE(std::isnan(static_cast<float>(TypeParam(value)))) << i;
    } else {
      ASSERT_EQ(static_cast<double>(value), defined) << i;
      ASSERT_EQ(TypeParam(value).bits, half.bits) << i;
    }
  }
}

// Between each two neighbours: the midpoint goes to the even one, and a step off it to the nearer one.
TYPED_TEST(HalfPrecision, RoundsToNearestEven) {
  const uint16_t infinity = TypeParam(std::numeric_limits<float>::infinity()).bits;
  for (uint16_t bits = 0; bits + 1 < infinity; ++bits) {
    const auto next = static_cast<uint16_t>(bits + 1);
    const double middle = (defined_value<TypeParam>(bits) + defined_value<TypeParam>(next)) / 2;
    const auto tie = static_cast<float>(middle);
    ASSERT_EQ(static_cast<double>(tie), middle);
    const float below = std::nextafter(tie, 0.0f);
    const float above = std::nextafter(tie, std::numeric_limits<float>::infinity());
    for (const float sign : {1.0f, -1.0f}) {
      const auto with_sign = [&](uint16_t b) { return static_cast<uint16_t>(sign < 0 ? b | 0x8000 : b); };
      ASSERT_EQ(TypeParam(sign * tie).bits, with_sign(bits % 2 == 0 ? bits : next)) << bits;
      ASSERT_EQ(TypeParam(sign * below).bits, with_sign(bits)) << bits;
      ASSERT_EQ(TypeParam(sign * above).bits, with_sign(next)) << bits;
    }
  }
}

// Backends convert with vectorised code of their own: all halves to floats, and floats of every exponent
// back.
TYPED_TEST(HalfPrecision, CastOfTheBackendIsTheScalarConversion) {
  const DType half_type = DTypeOf<TypeParam>::value;
  std::vector<TypeParam> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i].bits = static_cast<uint16_t>(i);
  const auto widened =
      backend(Device::cpu).cast(Tensor::from(halves, {65536}), DType::f32).template to_vector<float>();
  for (size_t i = 0; i < halves.size(); ++i) {
    const auto expected = static_cast<float>(halves[i]);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(widened[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(widened[i]), std::bit_cast<uint32_t>(expected)) << i;
    }
  }

  std::vector<float> floats;  // every sign and exponent with mantissas on, beside and between the ties
  for (uint32_t upper = 0; upper < 65536; ++upper) {
    for (const uint32_t lower :
         {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      floats.push_back(std::bit_cast<float>(upper << 16 | lower));
  }
  const auto count = static_cast<int64_t>(floats.size());
  const auto narrowed =
      backend(Device::cpu).cast(Tensor::from(floats, {count}), half_type).template to_vector<TypeParam>();
  for (size_t i = 0; i < floats.size(); ++i) {
    if (std::isnan(floats[i])) {
      ASSERT_TRUE(std::isnan(static_cast<float>(narrowed[i]))) << floats[i];
    } else {
      ASSERT_EQ(narrowed[i].bits, TypeParam(floats[i]).bits) << floats[i];
    }
  }
}

TYPED_TEST(HalfPrecision, OverflowsToInfinityAndKeepsNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float v : {std::numeric_limits<float>::max(), infinity}) {
    EXPECT_EQ(static_cast<float>(TypeParam(v)), infinity);
    EXPECT_EQ(static_cast<float>(TypeParam(-v)), -infinity);
  }
  for (const uint32_t nan : {0x7fc00000u, 0x7f800001u, 0xffffffffu})
    EXPECT_TRUE(std::isnan(static_cast<float>(TypeParam(std::bit_cast<float>(nan)))));
  EXPECT_EQ(TypeParam(-0.0f).bits, 0x8000);
}

TEST(HalfPrecisionF16, OverflowBeginsAt65520) {
  EXPECT_EQ(static_cast<float>(f16(65504.0f)), 65504.0f);
  EXPECT_EQ(static_cast<float>(f16(65519.996f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(f16(65520.0f))));
}

}  // namespace
}  // namespace cytograd
