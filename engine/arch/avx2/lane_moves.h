// Lanes of other widths, of AVX2. CMake picks this or the portable one.
#pragma once

#include <immintrin.h>

#include "engine/arch/lanes.h"

namespace cytograd {

/// Eight numbers from p on.
inline IntLanes load_wide(const uint8_t* p) {
  return reinterpret_cast<IntLanes>(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline WordLanes load_wide(const uint16_t* p) {
  return reinterpret_cast<WordLanes>(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

/// The reverse of load_wide, of numbers that fit.
inline void store_narrow(uint16_t* p, const WordLanes& words) {
  const auto all = reinterpret_cast<__m256i>(words);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}

/// Eight IEEE 754 binary16 from p on.
inline Lanes load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/// Rounds to nearest even.
inline void store_half(uint16_t* p, const Lanes& lanes) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT));
}

/// 64-bit products of lanes 0, 2, 4 and 6.
inline LongLanes even_products(const WordLanes& a, const WordLanes& b) {
  return reinterpret_cast<LongLanes>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

}  // namespace cytograd
