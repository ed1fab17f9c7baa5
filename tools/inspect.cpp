#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "data/brightness.h"
#include "data/natural_order.h"
#include "data/pack.h"
#include "data/stored_image.h"
#include "tools/commands.h"
#include "tools/option_values.h"
#include "tools/pipeline.h"

namespace cytograd {
namespace {

constexpr size_t kListed = 12;  // values of a column, missing files

using Counts = std::map<std::string, int64_t, NaturalLess>;

Counts count_values(const Dataset& dataset, size_t column) {
  Counts counts;
  for (const Sample& sample : dataset.samples) ++counts[sample.values[column]];
  return counts;
}

/// Of the first image that can be read; nullopt, and what is wrong with the first, where none can.
std::optional<ImageInfo> first_image(const Dataset& dataset, std::string& reason) {
  reason.clear();
  for (const Sample& sample : dataset.samples) {
    try {
      return read_sample_info(sample);
    } catch (const Error& error) {
      if (reason.empty()) reason = error.what();
    }
  }
  return std::nullopt;
}

nlohmann::ordered_json to_json(const Dataset& dataset) {
  nlohmann::ordered_json json{{"data", dataset.root.string()},
                              {"layout", layout_name(dataset.layout)},
                              {"packed", dataset.packed},
                              {"named", dataset.named_samples},
                              {"images", dataset.samples.size()},
                              {"incomplete", dataset.incomplete.size()},
                              {"label_column", dataset.label_column},
                              {"group_column", dataset.group_column}};
  if (dataset.packed) {
    json["packed_white"] = dataset.white ? nlohmann::ordered_json(*dataset.white) : nullptr;
    json["without_pixels"] =
        std::count_if(dataset.samples.begin(), dataset.samples.end(), is_packed_unreadable);
  }
  std::string reason;
  if (const auto info = first_image(dataset, reason)) {
    json["height"] = info->height;
    json["width"] = info->width;
    json["channels"] = info->channels;
    json["bits"] = info->bits;
    if (const Brightness seen = look_at_brightness(dataset); seen.of_16_bits > 0) {
      json["looked_at"] = seen.looked_at;
      json["of_16_bits"] = seen.of_16_bits;
      json["brightest"] = seen.brightest;
      json["white"] = seen.white();
    }
  }
  json["columns"] = nlohmann::ordered_json::object();
  for (size_t c = 0; c < dataset.columns.size(); ++c) {
    nlohmann::ordered_json::object_t values;  // told apart already: its [] would look for each among all
    for (const auto& [value, count] : count_values(dataset, c)) values.emplace_back(value, count);
    json["columns"][dataset.columns[c]] = values;
  }
  json["missing"] = nlohmann::ordered_json::array();
  for (const MissingImage& missing : dataset.missing) {
    json["missing"].push_back(
        {{"image", missing.sample}, {"file", missing.file.string()}, {"reason", missing.reason}});
  }
  return json;
}

void print_column(const Dataset& dataset, size_t column) {
  const Counts counts = count_values(dataset, column);
  std::string line = fmt::format("  {:<18} {} value{}", dataset.columns[column], counts.size(),
                                 counts.size() == 1 ? "" : "s");
  if (counts.size() > kListed && counts.size() == dataset.samples.size()) {
    line += fmt::format(", one an image: {} to {}", counts.begin()->first, counts.rbegin()->first);
  } else if (counts.size() <= kListed) {
    std::vector<std::string> parts;
    for (const auto& [value, count] : counts) {
      parts.push_back(fmt::format("{} ({})", value.empty() ? "none" : value, count));
    }
    line += fmt::format(": {}", fmt::join(parts, ", "));
  } else {
    int64_t fewest = dataset.named_samples;
    int64_t most = 0;
    for (const auto& [value, count] : counts) {
      fewest = std::min(fewest, count);
      most = std::max(most, count);
    }
    line += fmt::format(": {} to {}, {} to {} images each", counts.begin()->first, counts.rbegin()->first,
                        fewest, most);
  }
  fmt::print("{}\n", line);
}

void print(const Dataset& dataset) {
  fmt::print("{}: {}{}\n", dataset.root.string(), layout_name(dataset.layout),
             !dataset.packed ? ""
             : dataset.white ? fmt::format(", packed from 16 bits with --white {}", *dataset.white)
                             : std::string(", packed"));
  fmt::print("  {} of {} named images are there", dataset.samples.size(), dataset.named_samples);
  if (const auto lost = std::count_if(dataset.samples.begin(), dataset.samples.end(), is_packed_unreadable);
      lost > 0)
    fmt::print(", {} of them without pixels, for they could not be read when packed", lost);
  std::string reason;
  if (const auto info = first_image(dataset, reason)) {
    fmt::print("; the first has {} pixels and {} channel{}", size_text(*info), info->channels,
               info->channels == 1 ? "" : "s");
  } else if (!reason.empty()) {
    fmt::print("; none can be read: {}", reason);
  }
  fmt::print("\n");
  if (const Brightness seen = look_at_brightness(dataset); seen.of_16_bits > 0) {
    fmt::print("  {} of {} images looked at have 16 bits; their brightest value is {}", seen.of_16_bits,
               seen.looked_at, seen.brightest);
    if (seen.brightest > 0) fmt::print("; --white {} is of as many bits", seen.white());
    fmt::print("\n");
  }
  if (!dataset.label_column.empty()) fmt::print("  label column       {}\n", dataset.label_column);
  if (!dataset.group_column.empty()) fmt::print("  group column       {}\n", dataset.group_column);
  for (size_t c = 0; c < dataset.columns.size() && !dataset.samples.empty(); ++c) print_column(dataset, c);
  if (dataset.incomplete.empty()) return;

  Counts reasons;
  for (const MissingImage& missing : dataset.missing) ++reasons[missing.reason];
  fmt::print("  missing            {} images lack files\n", dataset.incomplete.size());
  for (const auto& [why, count] : reasons) fmt::print("    {}: {}\n", why, count);
  size_t listed = 0;
  for (const MissingImage& missing : dataset.missing) {
    if (++listed > kListed) break;
    fmt::print("    {}: {} ({})\n", missing.sample, missing.file.string(), missing.reason);
  }
  if (dataset.missing.size() > kListed) {
    fmt::print("    and {} more; --json lists all\n", dataset.missing.size() - kListed);
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  struct Settings {
    std::string data;
    std::vector<std::string> where;
    bool json = false;
  };
  auto settings = std::make_shared<Settings>();
  CLI::App* command = app.add_subcommand("inspect", "Say what is in a folder of images and what is missing");
  take_path(command->add_option("--data", settings->data, "Folder of images"), "DIR")->required();
  add_where(*command, settings->where);
  command->add_flag("--json", settings->json, "As JSON, with every missing file");
  command->footer("Example: cytograd inspect --data rxrx1");
  command->callback([settings] {
    const Dataset dataset = open_filtered(settings->data, settings->where);
    if (settings->json) {
      fmt::print("{}\n",
                 to_json(dataset).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    } else {
      print(dataset);
    }
  });
}

}  // namespace cytograd
