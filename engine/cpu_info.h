// What this machine's processor can do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cytograd {

struct CpuInfo {
  std::string model;  ///< as /proc/cpuinfo names it
  int threads = 1;    ///< that parallel loops use
  std::vector<std::string>
      features;                  ///< those that matter for speed: avx2, avx512f, avx512_bf16, amx_bf16, ...
  int64_t last_level_cache = 0;  ///< bytes; a usual size where the system does not say
  bool has_avx512 = false;       ///< vectors of 512 bits
  bool native_bf16 = false;      ///< AMX or AVX512-BF16: bf16 arithmetic in hardware
};

const CpuInfo& cpu_info();

}  // namespace cytograd
