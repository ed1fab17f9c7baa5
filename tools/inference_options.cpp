#include "tools/inference_options.h"

#include <fmt/format.h>

#include "tools/option_values.h"
#include "tools/progress.h"
#include "tools/run_device.h"

namespace cytograd {
namespace {

constexpr const char* kTheRuns = "as the run";

}  // namespace

void add_inference_options(CLI::App& command, InferenceOptions& options) {
  add_adabn(command, options.adabn, "auto: as the run was validated");
  add_max_missing(command, options.max_missing);
  add_device(command, options.device);
  add_dtype(command, options.dtype)->default_str(kTheRuns);
  add_batch(command, options.batch)->default_str(kTheRuns);
  add_workers(command, options.workers)->default_str(kTheRuns);
  add_cache(command, options.cache_gib)->default_str(kTheRuns);
}

TrainOptions with_inference_options(TrainOptions run, const InferenceOptions& given, Device device) {
  run.max_missing = given.max_missing;
  if (given.adabn != "auto") run.adabn = given.adabn;
  if (given.dtype) {
    run.dtype = *given.dtype;
  } else if (run.dtype == "f16" && device == Device::cpu) {
    run.dtype = "auto";
    say(fmt::format("note: the run computed in f16, which needs a GPU; here in {}",
                    dtype_name(resolve_dtype(run.dtype, device))));
  }
  resolve_dtype(run.dtype, device);  // fails early
  run.batch = given.batch.value_or(run.batch);
  run.workers = given.workers.value_or(run.workers);
  run.cache_gib = given.cache_gib.value_or(run.cache_gib);
  return run;
}

}  // namespace cytograd
