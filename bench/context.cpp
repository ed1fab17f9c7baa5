#include "bench/context.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "bench/commit.h"
#include "bench/harness.h"
#include "bench/limits.h"
#include "engine/backend.h"
#include "engine/cpu_info.h"

namespace cytograd::bench {
namespace {

/// What matrix products of the type run as: bytes are computed with in f32.
DType product_type(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16 ? dtype : DType::f32; }

/// The first line that a command prints; "" where it fails.
std::string output_of(const char* command) {
  struct Close {
    void operator()(FILE* stream) const { pclose(stream); }
  };
  const std::unique_ptr<FILE, Close> stream(popen(command, "r"));
  std::array<char, 512> line{};
  if (!stream || fgets(line.data(), line.size(), stream.get()) == nullptr) return "";
  std::string text = line.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string cpu_name() {
  const CpuInfo& cpu = cpu_info();
  return fmt::format("{}{}{}, {} threads", cpu.model, cpu.revision.empty() ? "" : ", ", cpu.revision,
                     cpu.threads);
}

/// MHz of each processor as the kernel sees them now.
std::string cpu_clocks() {
  std::ifstream file("/proc/cpuinfo");
  std::string text;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("cpu MHz")) continue;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    text += (text.empty() ? "" : ", ") + line.substr(colon + 2);
  }
  return text.empty() ? "unknown" : "cpu MHz " + text;
}

}  // namespace

const char* commit() { return kCommit; }
const char* compiler() { return kCompiler; }

const Limits& limits_of(Device device, DType dtype, bool smoke) {
  static std::map<std::pair<Device, DType>, Limits> known;
  const DType type = product_type(dtype);
  const auto found = known.find({device, type});
  if (found != known.end()) return found->second;
  Limits limits{1.0, 1.0};
  if (!smoke) {
    const auto same_device = known.lower_bound({device, DType{}});
    const bool copied = same_device != known.end() && same_device->first.first == device;
    limits = {copied ? same_device->second.copy : copy_rate(device), matmul_rate(device, type)};
  }
  return known.emplace(std::pair{device, type}, limits).first->second;
}

std::vector<std::pair<std::string, std::string>> context(const std::vector<Device>& measured, bool smoke) {
  std::vector<std::pair<std::string, std::string>> entries{
      {"commit", kCommit},
      {"compiler", kCompiler},
      {"device_cpu", cpu_name()},
      {"cpu_features", fmt::format("{}", fmt::join(cpu_info().features, " "))},
      {"clocks", cpu_clocks()}};
  for (const Device device : devices()) {
    if (device == Device::cuda) {
      entries.emplace_back("device_cuda", cuda_description());
      if (cuda_is_emulated()) continue;
      entries.emplace_back("driver",
                           output_of("nvidia-smi --query-gpu=driver_version --format=csv,noheader"));
      entries.back().second +=
          ", clocks " + output_of("nvidia-smi --query-gpu=clocks.sm,clocks.mem --format=csv,noheader");
    }
    if (smoke || std::find(measured.begin(), measured.end(), device) == measured.end()) continue;
    for (const DType dtype : dtypes(device)) {
      const Limits& limits = limits_of(device, dtype, smoke);
      if (dtype == DType::f32)
        entries.emplace_back(fmt::format("limit_copy_GB/s_{}", device_name(device)),
                             fmt::format("{:.2f}", 1e-9 * limits.copy));
      entries.emplace_back(fmt::format("limit_matmul_GFLOP/s_{}_{}", dtype_name(dtype), device_name(device)),
                           fmt::format("{:.1f}", 1e-9 * limits.matmul));
    }
  }
  if (!why_no_cuda().empty()) entries.emplace_back("cuda", "no rows: " + why_no_cuda());
  return entries;
}

}  // namespace cytograd::bench
