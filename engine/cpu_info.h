// What this machine's processor can do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cytograd {

/// The widest vectors that a processor has, and the width that it multiplies them in.
enum class CpuVectors : uint8_t {
  bits_256,       ///< or fewer
  double_pumped,  ///< AVX-512 in two halves of 256 bits, as AMD's Zen 4 has it
  bits_512
};

struct CpuInfo {
  std::string model;     ///< as /proc/cpuinfo names it, which may be several generations' name
  std::string revision;  ///< "family 25, model 17, stepping 1"; "" where it does not say
  int threads = 1;       ///< that parallel loops use
  std::vector<std::string>
      features;                  ///< those that matter for speed: avx2, avx512f, avx512_bf16, amx_bf16, ...
  int64_t last_level_cache = 0;  ///< bytes; a usual size where the system does not say
  CpuVectors vectors = CpuVectors::bits_256;
  bool native_bf16 = false;  ///< AMX or AVX512-BF16: bf16 arithmetic in hardware
};

const CpuInfo& cpu_info();

}  // namespace cytograd
