#include <CLI/CLI.hpp>
#include <cstdio>

#include "data/image_store.h"
#include "engine/backend.h"
#include "engine/cpu_info.h"
#include "tools/commands.h"
#include "tools/run_device.h"

namespace cytograd {

void add_devices(CLI::App& app) {
  CLI::App* command = app.add_subcommand("devices", "List what cytograd can run on, and why not on the rest");
  command->footer("Example: cytograd devices");
  command->callback([] {
    const CpuInfo& cpu = cpu_info();
    fmt::print("cpu   {}; {} threads, {:.1f} GiB free\n", cpu.model, cpu.threads,
               static_cast<double>(available_memory()) / 0x1p30);
    fmt::print("      {}\n", fmt::join(cpu.features, " "));
    fmt::print("      --dtype auto is {}: bf16 arithmetic is {}\n",
               dtype_name(resolve_dtype("auto", Device::cpu)),
               cpu.native_bf16 ? "in hardware" : "not in hardware");
    const std::string reason = why_no_cuda();
    fmt::print("cuda  {}\n", reason.empty() ? cuda_description() : "none: " + reason);
  });
}

}  // namespace cytograd
