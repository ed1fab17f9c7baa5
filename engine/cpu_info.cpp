#include "engine/cpu_info.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

#include "engine/onednn.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

constexpr int64_t kUsualCache = int64_t{32} << 20;
constexpr std::array<std::string_view, 8> kFeatures{"avx2",        "fma",         "avx512f",  "avx512_vnni",
                                                    "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16"};

/// Of the first processor's caches the largest: what Linux says, "32768K". sysconf's figure is another on AMD's, the
/// sum of all caches in the package.
int64_t read_last_level_cache() {
  int64_t largest = 0;
  for (int i = 0; i < 8; ++i) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size");
    int64_t kibibytes = 0;
    if (file >> kibibytes) largest = std::max(largest, kibibytes << 10);
  }
  return largest > 0 ? largest : kUsualCache;
}

/// Linux says there what both the processor and the kernel allow.
CpuInfo read_cpu_info() {
  CpuInfo info;
  info.threads = cpu_threads();
  info.last_level_cache = read_last_level_cache();
  std::string vendor, family, number, stepping;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {  // the first processor's lines
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key =
        std::string_view(line).substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    if (key == "vendor_id") vendor = value;
    if (key == "cpu family") family = value;
    if (key == "model") number = value;
    if (key == "stepping") stepping = value;
    if (key == "model name") info.model = value;
    if (key == "flags") {
      std::istringstream flags(value);
      for (std::string flag; flags >> flag;) {
        if (std::find(kFeatures.begin(), kFeatures.end(), flag) != kFeatures.end())
          info.features.push_back(flag);
      }
    }
  }
  if (!family.empty()) info.revision = "family " + family + ", model " + number + ", stepping " + stepping;
  const auto has = [&info](std::string_view feature) {
    return std::find(info.features.begin(), info.features.end(), feature) != info.features.end();
  };
  const bool is_zen4 = vendor == "AuthenticAMD" && family == "25";  // or Zen 3, which has no AVX-512
  if (has("avx512f")) info.vectors = is_zen4 ? CpuVectors::double_pumped : CpuVectors::bits_512;
  info.native_bf16 = (has("avx512_bf16") || has("amx_bf16")) && OnednnPlans::multiplies_bf16();
  return info;
}

}  // namespace

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace cytograd
