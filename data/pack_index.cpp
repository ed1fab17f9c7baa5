#include "data/pack_index.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/checksum.h"
#include "data/csv.h"
#include "data/json_values.h"
#include "data/raw_image.h"
#include "data/text_file.h"
#include "engine/atomic_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/op_options.h"
#include "engine/parse_number.h"

namespace cytograd {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr int kMostDepth = 8;  // of pack.json
constexpr const char* kFormat = "cytograd pack";
constexpr std::string_view kColumnPrefix = "column.";  // a dataset's own columns may be called as the index's

std::string read_whole(const fs::path& file) {
  if (!file_exists(file)) fail("{}: no such file; the pack needs it", file.string());
  return read_text_file(file);
}

/// Texts in JSON are UTF-8; what is not is shown with question marks.
std::string json_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// pack.json without its checksum, which is compared.
Json read_description(const fs::path& file) {
  const std::string text = read_whole(file);
  Json json;
  // Writing JSON as text, which the checksum is of, takes a stack as deep as it is nested.
  const auto is_shallow = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > kMostDepth)
      fail("{}: is not the description of a pack; it is nested too deep", file.string());
    return true;
  };
  try {
    json = Json::parse(text, is_shallow);
    const std::string crc = json.at("crc32").get<std::string>();
    const bool is_as_written = json_text(json) == text;  // white space is not in the checksum
    json.erase("crc32");
    if (checksum_text(crc32_of(json_text(json))) != crc || !is_as_written)
      fail(
          "{}: its content, bytes 0 to {}, is not what its checksum {} was made of; the file is damaged, pack the "
          "dataset again",
          file.string(), text.size(), crc);
    if (json.at("format").get<std::string>() != kFormat)
      fail("{}: is not the description of a pack", file.string());
    if (json.at("version") != kVersion)
      fail("{}: is of version {}, and this program reads version {}", file.string(),
           json.at("version").dump(), kVersion);
  } catch (const Json::parse_error& error) {
    fail("{}: is not JSON at byte {}; the file is damaged, pack the dataset again", file.string(),
         error.byte);
  } catch (const Json::exception&) {
    fail("{}: is not the description of a pack; pack the dataset again", file.string());
  }
  return json;
}

uint64_t byte_count(const Json& json, const std::string& place) {
  return static_cast<uint64_t>(whole_number(json, place, 0, INT64_MAX));
}

/// A file that pack.json names with its size and checksum.
std::string read_checked(const PackFiles& files, const Json& entry) {
  const fs::path inside = fs::path(entry.at("file").get<std::string>()).lexically_normal();
  if (inside.empty() || inside.is_absolute() || *inside.begin() == "..")
    fail("{}: '{}' is no file of the pack", files.description().string(), inside.string());
  const fs::path file = files.folder / inside;
  std::string text = read_whole(file);
  const uint64_t bytes = byte_count(entry.at("bytes"), files.description().string());
  if (text.size() != bytes)
    fail("{}: has {} bytes, but {} when it was packed; it ends at byte {} where {} is due", file.string(),
         text.size(), bytes, text.size(), bytes);
  const std::string crc = checksum_text(crc32_of(text)), due = entry.at("crc32").get<std::string>();
  if (crc != due)
    fail(
        "{}: its content, bytes 0 to {}, has the checksum {} and should have {}; the file is damaged, pack the "
        "dataset again",
        file.string(), bytes, crc, due);
  return text;
}

/// A field of index.csv as a number from 0 to `most`.
uint64_t number(const CsvTable& table, size_t row, std::string_view column, uint64_t most) {
  const std::string& text = table.rows[row][table.require_column(column)];
  const auto value = parse_number<uint64_t>(text);
  if (!value || *value > most)
    fail("{}: {} is '{}', not a whole number up to {}", table.place(row), column, text, most);
  return *value;
}

uint32_t checksum(const std::string& text, const std::string& place) {
  const auto value = parse_number<uint32_t>(text, 16);
  if (!value) fail("{}: crc32 is '{}', not eight hexadecimal digits", place, text);
  return *value;
}

PackedImage packed_image(const CsvTable& table, size_t row) {
  PackedImage image;
  image.name = table.rows[row][table.require_column("image")];
  const std::string& state = table.rows[row][table.require_column("state")];
  if (state == "unreadable") {
    image.unreadable = table.rows[row][table.require_column("reason")];
    if (image.unreadable.empty()) fail("{}: an unreadable image without a reason", table.place(row));
    return image;
  }
  if (state != "packed") fail("{}: state is '{}'", table.place(row), state);
  image.shard = number(table, row, "shard", UINT32_MAX);
  image.offset = number(table, row, "offset", INT64_MAX);
  image.height = static_cast<int64_t>(number(table, row, "height", kMostPixels));
  image.width = static_cast<int64_t>(number(table, row, "width", kMostPixels));
  image.channels = static_cast<int64_t>(number(table, row, "channels", PreprocessOptions::kMaxChannels));
  if (!detail::is_image(image.height, image.width, image.channels))
    fail("{}: {} x {} pixels of {} channels are no image", table.place(row), image.width, image.height,
         image.channels);
  image.crc32 = checksum(table.rows[row][table.require_column("crc32")], table.place(row));
  return image;
}

std::vector<PackShard> shards_of(const PackFiles& files, const Json& description) {
  std::vector<PackShard> shards;
  const std::string place = files.description().string();
  for (const Json& shard : description.at("shards")) {
    shards.push_back({.file = shard.at("file").get<std::string>(),
                      .bytes = byte_count(shard.at("bytes"), place),
                      .header_crc32 = checksum(shard.at("header_crc32").get<std::string>(), place),
                      .header_bytes = byte_count(shard.at("header_bytes"), place)});
    if (shards.back().header_bytes > shards.back().bytes || fs::path(shards.back().file).has_parent_path())
      fail("{}: '{}' is no shard", files.description().string(), shards.back().file);
  }
  return shards;
}

Dataset dataset_of(const PackFiles& files, const Json& description) {
  Dataset dataset;
  dataset.root = files.folder;
  dataset.packed = true;
  const std::string layout = description.at("layout").get<std::string>();
  const std::optional<Layout> known = find_layout(layout);
  if (!known) fail("{}: the layout '{}' is unknown", files.description().string(), layout);
  dataset.layout = *known;
  dataset.label_column = description.at("label_column").get<std::string>();
  dataset.group_column = description.at("group_column").get<std::string>();
  dataset.tables.push_back(files.description());
  if (const Json white = description.value("white", Json()); !white.is_null())
    dataset.white = static_cast<int32_t>(whole_number(white, files.description().string(), 1, 65535));

  std::map<std::string, std::string> contents;
  for (const Json& entry : description.at("files")) {
    const auto name = entry.at("file").get<std::string>();
    contents[name] = read_checked(files, entry);
    dataset.tables.push_back(files.folder / name);
  }
  const CsvTable table = parse_csv(contents["index.csv"], files.index());
  std::vector<size_t> columns;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (!table.columns[c].starts_with(kColumnPrefix)) continue;
    dataset.columns.push_back(table.columns[c].substr(kColumnPrefix.size()));
    columns.push_back(c);
  }
  const size_t state = table.require_column("state");
  const size_t name = table.require_column("image");
  std::vector<PackedImage> images;
  std::set<std::string_view> names;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& fields = table.rows[row];
    if (!names.insert(fields[name]).second) fail("{}: '{}' is there already", table.place(row), fields[name]);
    Sample sample{fields[name], {}, {}};
    for (const size_t c : columns) sample.values.push_back(fields[c]);
    if (fields[state] == "incomplete") {
      dataset.incomplete.push_back(std::move(sample));
    } else {
      sample.packed = images.size();
      images.push_back(packed_image(table, row));
      dataset.samples.push_back(std::move(sample));
    }
  }
  const auto pack = std::make_shared<const Pack>(files, shards_of(files, description), std::move(images));
  for (Sample& sample : dataset.samples) sample.pack = pack;
  for (const PackShard& shard : pack->shards()) dataset.tables.push_back(files.folder / shard.file);
  dataset.named_samples = static_cast<int64_t>(table.rows.size());

  const CsvTable missing = parse_csv(contents["missing.csv"], files.missing());
  missing.require_columns({"image", "file", "reason"});
  for (const std::vector<std::string>& row : missing.rows)
    dataset.missing.push_back({row[missing.require_column("image")], row[missing.require_column("file")],
                               row[missing.require_column("reason")]});
  for (const std::string& column : {dataset.label_column, dataset.group_column}) {
    if (!column.empty()) dataset.require_column(column);
  }
  return dataset;
}

std::string index_csv(const Dataset& dataset, const std::vector<PackedImage>& images) {
  std::vector<std::string> row{"image",    "shard", "offset", "height", "width",
                               "channels", "crc32", "state",  "reason"};
  for (const std::string& column : dataset.columns) row.push_back(std::string(kColumnPrefix) + column);
  std::string text = csv_row(row);
  const auto add = [&](const Sample& sample, std::vector<std::string> fields) {
    fields.insert(fields.end(), sample.values.begin(), sample.values.end());
    text += csv_row(fields);
  };
  for (size_t i = 0; i < images.size(); ++i) {
    const PackedImage& image = images[i];
    const Sample& sample = dataset.samples[i];
    if (!image.unreadable.empty()) {
      add(sample, {sample.name, "", "", "", "", "", "", "unreadable", image.unreadable});
    } else {
      add(sample, {sample.name, std::to_string(image.shard), std::to_string(image.offset),
                   std::to_string(image.height), std::to_string(image.width), std::to_string(image.channels),
                   checksum_text(image.crc32), "packed", ""});
    }
  }
  for (const Sample& sample : dataset.incomplete)
    add(sample, {sample.name, "", "", "", "", "", "", "incomplete", ""});
  return text;
}

struct TextFile {
  fs::path file;
  std::string content;

  bool operator==(const TextFile&) const = default;
};

std::string missing_csv(const Dataset& dataset) {
  std::string text = "image,file,reason\n";
  for (const MissingImage& missing : dataset.missing)
    text += csv_row(std::vector<std::string>{missing.sample, missing.file.string(), missing.reason});
  return text;
}

/// The dataset's own, as a pack in `files` has them.
std::vector<TextFile> tables_of(const PackFiles& files, const Dataset& dataset) {
  std::vector<TextFile> result;
  const fs::path base = dataset.packed ? PackFiles{dataset.root}.tables() : dataset.root;
  for (const fs::path& table : dataset.tables) {
    const fs::path below = table.lexically_relative(base);
    if (below.empty() || *below.begin() == "..") continue;  // a pack's other files
    result.push_back({files.tables() / below, read_whole(table)});
  }
  return result;
}

}  // namespace

bool detail::is_image(int64_t height, int64_t width, int64_t channels) {
  return height >= 1 && width >= 1 && channels >= 1 && channels <= PreprocessOptions::kMaxChannels &&
         height <= kMostPixels / width;
}

std::string detail::pack_fingerprint(const Dataset& dataset, const PackOptions& options) {
  std::string text = fmt::format("{}\n", options.shard_bytes);
  text += fmt::format("white {}\n", options.read.white);
  for (const std::string& column : dataset.columns) text += column + '\0';
  text += dataset.label_column + '\0' + dataset.group_column + '\n';
  for (const auto* samples : {&dataset.samples, &dataset.incomplete}) {
    text += fmt::format("{}\n", samples->size());
    for (const Sample& sample : *samples) {
      text += sample.name + '\0';
      for (const std::string& value : sample.values) text += value + '\0';
    }
  }
  return checksum_text(crc32_of(text));
}

void detail::write_pack_index(const PackFiles& files, const Dataset& dataset, const PackIndex& index) {
  Json description{{"format", kFormat},
                   {"version", kVersion},
                   {"source", dataset.root.string()},
                   {"fingerprint", index.fingerprint},
                   {"layout", layout_name(dataset.layout)},
                   {"label_column", dataset.label_column},
                   {"group_column", dataset.group_column},
                   {"white", index.white ? Json(*index.white) : Json()},
                   {"files", Json::array()},
                   {"shards", Json::array()}};
  const auto add = [&](const TextFile& text) {
    fs::create_directories(text.file.parent_path());
    write_text_file(text.file, text.content);
    description["files"].push_back({{"file", text.file.lexically_relative(files.folder).string()},
                                    {"bytes", text.content.size()},
                                    {"crc32", checksum_text(crc32_of(text.content))}});
  };
  add({files.index(), index_csv(dataset, index.images)});
  add({files.missing(), missing_csv(dataset)});
  for (const TextFile& table : tables_of(files, dataset)) add(table);
  for (const PackShard& shard : index.shards)
    description["shards"].push_back({{"file", shard.file},
                                     {"bytes", shard.bytes},
                                     {"header_bytes", shard.header_bytes},
                                     {"header_crc32", checksum_text(shard.header_crc32)}});
  description["crc32"] = checksum_text(crc32_of(json_text(Json::parse(json_text(description)))));
  write_text_file(files.description(), json_text(description));
}

void detail::require_same_tables(const PackFiles& files, const Dataset& packed, const Dataset& dataset) {
  // The folders of missing files are as --data was spelled.
  const auto is_same = [](const MissingImage& a, const MissingImage& b) {
    return a.sample == b.sample && a.file.filename() == b.file.filename();
  };
  if (!std::equal(packed.missing.begin(), packed.missing.end(), dataset.missing.begin(),
                  dataset.missing.end(), is_same))
    fail("{}: other files are missing in {} now", files.missing().string(), dataset.root.string());
  const std::vector<TextFile> before = tables_of(files, packed), now = tables_of(files, dataset);
  const auto [was, is] = std::mismatch(before.begin(), before.end(), now.begin(), now.end());
  if (is != now.end()) fail("{}: is not what {} has now", is->file.string(), dataset.root.string());
  if (was != before.end())
    fail("{}: holds a table that {} has no more", files.tables().string(), dataset.root.string());
}

bool detail::describes_pack(const fs::path& file) {
  if (!file_exists(file)) return false;
  const auto json = nlohmann::json::parse(read_text_file(file), nullptr, false);
  return json.is_object() && json.value("format", nlohmann::json()) == kFormat;
}

std::string detail::read_pack_fingerprint(const PackFiles& files) {
  const Json description = read_description(files.description());
  return description.contains("fingerprint") ? description["fingerprint"].get<std::string>() : "";
}

bool is_pack(const fs::path& folder) {
  const PackFiles files{folder};
  return file_exists(files.description()) || file_exists(files.shard(0));
}

Dataset open_pack(const fs::path& folder) {
  const PackFiles files{folder};
  if (!file_exists(files.description()))
    fail("{}: holds a pack that is not finished; run 'cytograd pack' with this --out once more",
         folder.string());
  const Json description = read_description(files.description());
  try {
    return dataset_of(files, description);
  } catch (const Json::exception&) {
    fail("{}: is not the description of a pack; pack the dataset again", files.description().string());
  }
}

}  // namespace cytograd
