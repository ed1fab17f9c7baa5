#include "data/pack.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "tools/commands.h"
#include "tools/option_values.h"
#include "tools/pipeline.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

struct PackSettings {
  std::string data;
  std::string out;
  std::string verify;
  std::vector<std::string> where;
  double max_missing = 0.05;
  int64_t white = 65535;
  int64_t shard_mib = 128;
  int64_t workers = 2;
};

constexpr double kMiB = 0x1p20;

void pack(const PackSettings& settings) {
  if (is_within(settings.out, settings.data) || is_within(settings.data, settings.out))
    fail("--out {} lies in --data {}, or around it; name a folder of its own", settings.out, settings.data);
  const Dataset dataset = open_filtered(settings.data, settings.where);
  const int32_t white = resolve_white(dataset, settings.white);
  check_missing(dataset, settings.max_missing);
  report_missing(dataset);
  warn_of_dim_images(dataset, white);
  PackSummary summary;
  const auto start = std::chrono::steady_clock::now();
  {
    Progress progress("packing", static_cast<int64_t>(dataset.samples.size()), "images");
    summary = write_pack(dataset, {.out = settings.out,
                                   .workers = static_cast<int>(settings.workers),
                                   .shard_bytes = static_cast<uint64_t>(settings.shard_mib) << 20,
                                   .max_missing = settings.max_missing,
                                   .read = {.white = white},
                                   .progress = [&](int64_t images) { progress.update(images); },
                                   .note = say});
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (summary.was_whole) {
    fmt::print("{}: is packed already: {} images\n", settings.out, summary.images - summary.unreadable);
    return;
  }
  const int64_t packed = summary.images - summary.resumed;
  fmt::print("{}: {} images in {} shard{} of together {:.0f} MiB", settings.out,
             summary.images - summary.unreadable, summary.shards, summary.shards == 1 ? "" : "s",
             static_cast<double>(summary.bytes) / kMiB);
  if (summary.unreadable > 0) fmt::print(", {} unreadable", summary.unreadable);
  if (summary.resumed > 0) fmt::print(", {} of them from before", summary.resumed);
  fmt::print("; {:.0f} images/s\n", static_cast<double>(packed) / std::max(seconds, 1e-9));
}

void verify(const PackSettings& settings) {
  if (!is_pack(settings.verify)) fail("{}: holds no pack", settings.verify);
  const Dataset dataset = open_pack(settings.verify);
  const auto total = static_cast<int64_t>(dataset.samples.size());
  if (total > 0) {
    Progress progress("verifying", total, "images");
    dataset.samples.front().pack->verify(static_cast<int>(settings.workers),
                                         [&](int64_t images) { progress.update(images); });
  }
  const auto unreadable = std::count_if(dataset.samples.begin(), dataset.samples.end(), is_packed_unreadable);
  fmt::print("{}: {} images are as they were packed\n", settings.verify, total - unreadable);
}

}  // namespace

void add_pack(CLI::App& app) {
  auto settings = std::make_shared<PackSettings>();
  CLI::App* command = app.add_subcommand("pack", "Decode every image once, for training at full speed");
  command->option_defaults()->always_capture_default();
  CLI::Option* data = take_path(command->add_option("--data", settings->data, "Folder of images"), "DIR");
  CLI::Option* out =
      take_path(command->add_option("--out", settings->out, "Folder to make, or to go on with"), "DIR");
  CLI::Option* verify_option =
      take_path(
          command->add_option("--verify", settings->verify, "Compare a pack with its checksums, and no more"),
          "DIR")
          ->excludes(data)
          ->excludes(out);
  add_where(*command, settings->where)->excludes(verify_option);
  add_max_missing(*command, settings->max_missing)->excludes(verify_option);
  add_white(*command, settings->white)->excludes(verify_option);
  take_whole(command->add_option("--shard-mib", settings->shard_mib, "Size of a file of images, in MiB"), 1,
             4096)
      ->excludes(verify_option);
  take_whole(command->add_option("--workers", settings->workers, "Threads"), 1, 256);
  command->footer(
      "A pack is given to --data as the folder it was made of. One that was stopped goes on when the command "
      "is run "
      "again.\n"
      "Example: cytograd pack --data rxrx1 --out rxrx1-packed");
  command->callback([settings] {
    if (!settings->verify.empty()) return verify(*settings);
    if (settings->data.empty()) throw CLI::RequiredError("--data");
    if (settings->out.empty()) throw CLI::RequiredError("--out");
    pack(*settings);
  });
}

}  // namespace cytograd
