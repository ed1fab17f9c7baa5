// What option values may be, said alike by every subcommand, in --help and in errors.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

/// A whole number in decimal digits from `low` to `high`; --help shows N.
CLI::Option* take_whole(CLI::Option* option, int64_t low, int64_t high);

/// A finite decimal number from `low` to `high`; --help shows X.
CLI::Option* take_number(CLI::Option* option, double low, double high);

/// The same, but neither `low` nor `high` itself.
CLI::Option* take_number_between(CLI::Option* option, double low, double high);

/// A path that is not empty; --help shows `shown`, such as DIR.
CLI::Option* take_path(CLI::Option* option, const std::string& shown);

/// One of `values`; --help shows them as a|b|c.
CLI::Option* take_choice(CLI::Option* option, const std::vector<std::string>& values);

/// A whole number of 64 bits, from 0; --help shows N.
CLI::Option* take_seed(CLI::Option* option);

/// Text in single quotes for a message, cut where it is long.
std::string in_quotes(std::string_view text);

/// Declares --where, which may be given several times, each time with one COLUMN=VALUE[,VALUE...].
CLI::Option* add_where(CLI::App& command, std::vector<std::string>& where);

/// Declares --max-missing.
CLI::Option* add_max_missing(CLI::App& command, double& max_missing);

/// Declares --white: ReadOptions::white.
CLI::Option* add_white(CLI::App& command, int64_t& white);

/// Declares --adabn; `otherwise` says in --help what auto is.
CLI::Option* add_adabn(CLI::App& command, std::string& adabn, const std::string& otherwise);

/// Declares --device.
CLI::Option* add_device(CLI::App& command, std::string& device);

/// Declare --dtype, --batch, --workers of what reads images, and --cache-gib, each into a value or an optional one.
template <typename Value>
CLI::Option* add_dtype(CLI::App& command, Value& dtype) {
  return take_choice(command.add_option("--dtype", dtype, "Of activations; weights stay f32"),
                     {"auto", "f32", "bf16", "f16"});
}
template <typename Value>
CLI::Option* add_batch(CLI::App& command, Value& batch) {
  return take_whole(command.add_option("--batch", batch, "Images a step"), 2, 65536);
}
template <typename Value>
CLI::Option* add_workers(CLI::App& command, Value& workers) {
  return take_whole(command.add_option("--workers", workers, "Threads that read images"), 1, 256);
}
template <typename Value>
CLI::Option* add_cache(CLI::App& command, Value& gib) {
  return take_number(
      command.add_option("--cache-gib", gib, "Memory for decoded images; negative: half of what is free"),
      -1.0, 1e6);
}

}  // namespace cytograd
